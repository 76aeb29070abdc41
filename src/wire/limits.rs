//! How long messages may be, by phase and type. All in bytes of the body.

/// StartupMessage and what may come in its place. Source: PostgreSQL, `MAX_STARTUP_PACKET_LENGTH`.
pub const STARTUP: u32 = 10_000;

/// First and later SASL messages of a client. Source: PostgreSQL, `PG_MAX_SASL_MESSAGE_LENGTH`.
pub const SASL: u32 = 1_024;

/// A password. Source: PostgreSQL, `PG_MAX_AUTH_TOKEN_LENGTH`.
pub const PASSWORD: u32 = 65_535;

/// Any message of a server during login.
pub const SERVER_LOGIN: u32 = 65_536;

/// Messages of a client that are looked at as a whole (Parse of a named statement, Query, Close …).
/// A longer Query is passed on as it streams in; a longer named Parse is refused where it would
/// have to be remembered.
pub const INSPECT: u32 = 1 << 20;

/// Name of a statement or portal that is looked at.
pub const NAME: usize = 4_096;

/// Messages of a server that are looked at as a whole: a longer ErrorResponse passes on unread, a
/// longer ParameterStatus or CommandComplete ends the connection.
pub const SERVER_INSPECT: u32 = 1 << 20;

/// Short fixed messages from a client: Sync, Flush, Terminate, CopyDone carry nothing, so anything
/// above this is nonsense. Source: PostgreSQL, `PQ_SMALL_MESSAGE_LIMIT`.
pub const SMALL: u32 = 10_000;

/// Longest body that a message of this type may have from a logged-in client, where `max_packet`
/// is the operator's `max_packet_size`. Source: PostgreSQL, `SocketBackend`.
#[inline]
pub fn client_body(tag: u8, max_packet: u32) -> Option<u32> {
    use super::tag::frontend as f;
    match tag {
        f::QUERY | f::PARSE | f::BIND | f::FUNCTION_CALL | f::COPY_DATA => Some(max_packet),
        f::EXECUTE
        | f::DESCRIBE
        | f::CLOSE
        | f::SYNC
        | f::FLUSH
        | f::TERMINATE
        | f::COPY_DONE
        | f::COPY_FAIL => Some(SMALL),
        _ => None,
    }
}
