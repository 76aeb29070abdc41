//! The rules, one file per family.

pub mod access;
pub mod catalogue;
pub mod ddl;
pub mod filter;
pub mod result;
pub mod runtime;
pub mod security;
pub mod sequence;
pub mod types;
