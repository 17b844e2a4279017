//! `valisectl`: arguments in, one answer out, exit codes that scripts rely on.
//!
//! Answers go to standard output, with `--json` one object on a line, and nothing else goes there; hints for people
//! go to standard error.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Parser, Subcommand};
use serde::Serialize;
use valise_host::clock::{Clock, SystemClock};
use valise_host::entropy::OsEntropy;
use valise_host::exit::ExitCode;
use valise_host::plain;
use valise_proto::names::TrustDomain;

use crate::fault::MintFault;
use crate::inspect::{Judge, inspect};
use crate::lab::{InitRequest, Lab, init};
use crate::parties::PartyArg;
use crate::told::Told;
use relay::RelayVerb;

mod relay;

/// Makes and keeps the papers of a federation, and minds its relay.
#[derive(Debug, Parser)]
#[command(name = "valisectl", version)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Answer in JSON, one object per line; errors too, on standard error
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a whole federation on this machine: root, CAs, papers, roster, configurations
    Init {
        /// Where: a directory that is absent or empty
        dir: PathBuf,
        /// Who: two letters are a bureau, more a mission; `bureau:NAME` and `mission:NAME` say otherwise
        #[arg(long = "party", value_name = "NAME", required = true, num_args = 1..)]
        parties: Vec<String>,
        /// The trust domain, a DNS name
        #[arg(long, default_value = "i24.example")]
        domain: String,
        /// Where the relay is to listen (UDP); port 0 takes one that is free now
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Say what a file is and says: certificate, revocation list, roster, bundle, envelope header
    Inspect {
        /// The file; PEM, DER, or as it rests or travels
        file: PathBuf,
        /// The pinned root, PEM: signatures are judged under it
        #[arg(long, value_name = "PEM")]
        root: Option<PathBuf>,
        /// Whoever signed, where the file does not say: the author of a header, the CA of a leaf or a list
        #[arg(long, value_name = "CERT")]
        signer: Option<PathBuf>,
    },
    /// Ask a running relay on this machine
    Relay {
        #[command(subcommand)]
        verb: RelayVerb,
    },
}

/// Runs the program on its arguments, the first of which is its name.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> io::Result<ExitCode> {
    let args: Vec<_> = args.into_iter().collect();
    let json = args.iter().any(|arg| arg == "--json");
    match Args::try_parse_from(&args) {
        Ok(args) => match answer(&args) {
            Ok(()) => Ok(ExitCode::Done),
            Err(fault) => refuse(&fault, args.json),
        },
        Err(error) if json && error.use_stderr() => {
            let line = plain::usage(&error.to_string());
            report("USAGE", &line, "run `valisectl --help`", ExitCode::Usage)
        }
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done };
            error.print()?;
            Ok(code)
        }
    }
}

fn answer(args: &Args) -> Result<(), MintFault> {
    match &args.verb {
        Verb::Init { dir, parties, domain, listen } => make(dir, parties, domain, *listen, args.json),
        Verb::Inspect { file, root, signer } => {
            let now_ms = SystemClock.now_ms();
            let judge = Judge { root: root.clone(), signer: signer.clone(), now_ms };
            let (told, untrusted) = inspect(file, &judge)?;
            tell(&told, args.json)?;
            untrusted.map_or(Ok(()), Err)
        }
        Verb::Relay { verb } => relay::perform(verb, |told| tell(&told, args.json)),
    }
}

fn make(
    dir: &Path,
    parties: &[String],
    domain: &str,
    listen: SocketAddr,
    json: bool,
) -> Result<(), MintFault> {
    let help = "give --domain a DNS name in lower case, such as i24.example";
    let request = InitRequest {
        dir: dir.to_owned(),
        parties: parties.iter().map(|text| PartyArg::parse(text)).collect::<Result<_, _>>()?,
        domain: TrustDomain::new(domain).map_err(|error| MintFault::input("BAD_DOMAIN", error, help))?,
        listen,
    };
    let lab = init(&request, SystemClock.now_ms(), Arc::new(OsEntropy))?;
    show(&lab, !json).map_err(MintFault::io("standard output".as_ref(), "write to"))
}

/// What was learnt, in the form that was wanted.
fn tell(told: &Told, json: bool) -> Result<(), MintFault> {
    let lines = if json { &told.json } else { &told.table };
    let mut out = io::stdout().lock();
    let said = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match said {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()), // whoever read has enough
        said => said.map_err(MintFault::io("standard output".as_ref(), "write to")),
    }
}

/// The contract, then how to go on.
fn show(lab: &Lab, hints: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, lab)?;
    writeln!(out)?;
    out.flush()?;
    if !hints {
        return Ok(());
    }
    let mut err = io::stderr().lock();
    writeln!(err, "Federation {} stands in {}. To start it:", lab.domain, lab.dir.display())?;
    writeln!(err, "  valise-relay --config {}", lab.relay.config.display())?;
    for party in &lab.parties {
        writeln!(err, "  valised --config {}", party.config.display())?;
    }
    if let Some(party) = lab.parties.first() {
        writeln!(err, "and to look in as {}:", party.name)?;
        writeln!(err, "  valise --socket {} status", party.socket.display())?;
    }
    Ok(())
}

fn refuse(fault: &MintFault, json: bool) -> io::Result<ExitCode> {
    if json {
        return report(fault.code(), &fault.to_string(), fault.help(), fault.exit());
    }
    let mut err = io::stderr().lock();
    writeln!(err, "valisectl: {}", plain::line(&fault.to_string()))?;
    writeln!(err, "  {}", fault.help())?;
    Ok(fault.exit())
}

/// The one line of an error (the same in every tool).
#[derive(Serialize)]
struct Refusal<'a> {
    error: Report<'a>,
}

#[derive(Serialize)]
struct Report<'a> {
    code: &'a str,
    message: &'a str,
    help: &'a str,
    exit: u8,
}

fn report(code: &str, message: &str, help: &str, exit: ExitCode) -> io::Result<ExitCode> {
    let error = Report { code, message, help, exit: exit.number() };
    let line = serde_json::to_string(&Refusal { error })?;
    writeln!(io::stderr().lock(), "{line}")?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(args: &[&str]) -> ExitCode {
        run(["valisectl"].iter().chain(args).map(|arg| (*arg).into())).unwrap()
    }

    #[test]
    fn refusals_have_the_exit_codes_that_scripts_rely_on() {
        let occupied = env!("CARGO_MANIFEST_DIR");
        assert_eq!(exit_of(&["init"]), ExitCode::Usage);
        assert_eq!(exit_of(&["--json", "enrol"]), ExitCode::Usage);
        assert_eq!(exit_of(&["init", "x", "--party", "fr", "--listen", "nowhere"]), ExitCode::Usage);
        assert_eq!(exit_of(&["init", occupied, "--party", "fr", "--json"]), ExitCode::InvalidInput);
        assert_eq!(exit_of(&["init", "/proc/x", "--party", "fr"]), ExitCode::InvalidInput);
        assert_eq!(exit_of(&["init", "x", "--party", "FR"]), ExitCode::InvalidInput);
        assert_eq!(exit_of(&["init", "x", "--party", "fr", "--domain", "example"]), ExitCode::InvalidInput);
        assert_eq!(exit_of(&["relay", "status"]), ExitCode::Usage);
        assert_eq!(exit_of(&["relay", "status", "--socket", "/nowhere"]), ExitCode::Unreachable);
        assert_eq!(exit_of(&["relay", "drain", "--config", "/nowhere"]), ExitCode::InvalidInput);
        assert_eq!(exit_of(&["--version"]), ExitCode::Done);
    }

    #[test]
    fn parties_are_given_together_or_one_by_one() {
        for args in
            [&["--party", "fr", "br", "minustah"][..], &["--party", "fr", "--party", "br", "minustah"]]
        {
            let args = ["valisectl", "init", "lab"].iter().chain(args);
            let Verb::Init { parties, dir, .. } = Args::try_parse_from(args).unwrap().verb else {
                panic!("init is init")
            };
            assert_eq!((parties, dir), (["fr", "br", "minustah"].map(String::from).to_vec(), "lab".into()));
        }
    }

    #[test]
    fn the_command_tree_holds_together() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_word_that_is_nearly_right_is_answered_with_the_right_one() {
        for (args, meant) in [
            (&["relay", "staus", "--socket", "x"][..], "'status'"),
            (&["relay", "status", "--soket", "x"], "'--socket'"),
            (&["rleay", "status"], "'relay'"),
        ] {
            let args = ["valisectl"].iter().chain(args);
            let said = plain::usage(&Args::try_parse_from(args).unwrap_err().to_string());
            assert!(said.contains(meant) && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn an_error_is_one_line_of_json() {
        let error = Report { code: "NOT_EMPTY", message: "a\nb", help: "h", exit: 11 };
        let line = serde_json::to_string(&Refusal { error }).unwrap();
        assert_eq!(line, r#"{"error":{"code":"NOT_EMPTY","message":"a\nb","help":"h","exit":11}}"#);
    }
}
