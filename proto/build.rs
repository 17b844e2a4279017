//! Compiles the schemas with protox, so that a fresh machine needs no `protoc`.

/// The treaty with devices, and what an administrator's tool says to a relay on its own machine.
const SCHEMAS: [&str; 2] = ["valise.proto", "admin.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = protox::Compiler::new(["wire"])?;
    compiler.include_source_info(true);
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed=wire/{schema}");
        compiler.open_file(schema)?;
    }
    prost_build::Config::new().bytes(["."]).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
