//! The pgweir binary: hands over to [`pgweir::cli`].
fn main() {}
