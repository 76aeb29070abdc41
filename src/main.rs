//! The pgweir binary: hands over to [`pgweir::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pgweir::cli::main(pgweir::app::run, pgweir::demo::run)
}
