//! The table of statements and their facts, and the properties that hold for any text.

use super::*;

mod any_text;
mod facts;
mod memory;
mod shapes;

fn plain(text: &str) -> Analysis {
    analyse(text.as_bytes(), Lexing::default())
}
