//! stub
#![allow(missing_docs)]
pub fn init(_: &crate::config::Settings, _: &crate::cli::RunOptions) -> Result<(), std::io::Error> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
