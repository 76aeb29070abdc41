//! Keys of PgBouncer that pgweir does not have.

use super::super::document::Section;

/// A key of PgBouncer without an equivalent here: its name, and the value with which leaving it
/// away changes nothing, because that is what pgweir does anyhow.
type Row = (&'static str, Option<&'static str>);

/// Source: PgBouncer, "Configuration File". Keys whose value only switches something off, or names
/// the only thing that pgweir does, are accepted with that value.
const PROCESS: &[Row] = &[("auth_ldap_options", None)];

/// What is to be said about a key of PgBouncer that has no row: `None` if PgBouncer does not know
/// it either, else the value (of an ini) that is accepted because it asks for nothing.
pub fn unsupported(section: &Section, name: &str) -> Option<Option<&'static str>> {
    let rows = match section {
        Section::Process => PROCESS,
        Section::Database(_) | Section::User(_) | Section::Peer(_) => return None,
    };
    rows.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, harmless)| *harmless)
}
