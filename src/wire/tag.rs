//! Message types.

/// Messages from a client (frontend).
pub mod frontend {
    /// Bind.
    pub const BIND: u8 = b'B';
    /// Close of a statement or portal.
    pub const CLOSE: u8 = b'C';
    /// Describe of a statement or portal.
    pub const DESCRIBE: u8 = b'D';
    /// Execute of a portal.
    pub const EXECUTE: u8 = b'E';
    /// Function call ("fast path").
    pub const FUNCTION_CALL: u8 = b'F';
    /// Flush.
    pub const FLUSH: u8 = b'H';
    /// Parse.
    pub const PARSE: u8 = b'P';
    /// Password, SASL and GSS responses.
    pub const PASSWORD: u8 = b'p';
    /// Simple query.
    pub const QUERY: u8 = b'Q';
    /// Sync.
    pub const SYNC: u8 = b'S';
    /// Terminate.
    pub const TERMINATE: u8 = b'X';
    /// COPY data.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY data.
    pub const COPY_DONE: u8 = b'c';
    /// COPY data that failed on the client.
    pub const COPY_FAIL: u8 = b'f';
}

/// Messages from a server (backend).
pub mod backend {
    /// Authentication requests.
    pub const AUTHENTICATION: u8 = b'R';
    /// Key for cancel requests.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// Bind done.
    pub const BIND_COMPLETE: u8 = b'2';
    /// Close done.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// Command done, with its tag.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// COPY to the server begins.
    pub const COPY_IN: u8 = b'G';
    /// COPY from the server begins.
    pub const COPY_OUT: u8 = b'H';
    /// COPY in both directions begins.
    pub const COPY_BOTH: u8 = b'W';
    /// COPY data.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY data.
    pub const COPY_DONE: u8 = b'c';
    /// A row.
    pub const DATA_ROW: u8 = b'D';
    /// The query text was empty.
    pub const EMPTY_QUERY: u8 = b'I';
    /// Error.
    pub const ERROR: u8 = b'E';
    /// Result of a function call.
    pub const FUNCTION_RESULT: u8 = b'V';
    /// Older protocol or unknown options.
    pub const NEGOTIATE_VERSION: u8 = b'v';
    /// The described thing returns no rows.
    pub const NO_DATA: u8 = b'n';
    /// Notice.
    pub const NOTICE: u8 = b'N';
    /// NOTIFY arrived.
    pub const NOTIFICATION: u8 = b'A';
    /// Types of a statement's parameters.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    /// A parameter's value.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// Parse done.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// Row limit of Execute reached.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// The server waits for the next request.
    pub const READY_FOR_QUERY: u8 = b'Z';
    /// Columns of the rows to come.
    pub const ROW_DESCRIPTION: u8 = b'T';

    /// Whether a server may send this after login.
    #[inline]
    pub fn known(tag: u8) -> bool {
        matches!(
            tag,
            b'2' | b'3'
                | b'C'
                | b'G'
                | b'H'
                | b'W'
                | b'd'
                | b'c'
                | b'D'
                | b'I'
                | b'E'
                | b'V'
                | b'n'
                | b'N'
                | b'A'
                | b't'
                | b'S'
                | b'1'
                | b's'
                | b'Z'
                | b'T'
        )
    }
}

/// A tag for error messages: quoted if printable, else in hex.
pub fn show(tag: u8) -> String {
    if tag.is_ascii_graphic() {
        format!("'{}'", tag as char)
    } else {
        format!("0x{tag:02x}")
    }
}
