//! Compiles the schema with protox, so that a fresh machine needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=wire/valise.proto");
    let mut compiler = protox::Compiler::new(["wire"])?;
    compiler.include_source_info(true).open_file("valise.proto")?;
    prost_build::Config::new().bytes(["."]).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
