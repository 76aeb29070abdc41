//! Transaction status of a session, as ReadyForQuery reports it.

/// Where a server stands between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TxStatus {
    /// Outside a transaction.
    Idle = b'I',
    /// In a transaction.
    InTransaction = b'T',
    /// In a transaction that failed and waits for its ROLLBACK.
    Failed = b'E',
}

impl TxStatus {
    /// Reads the byte of a ReadyForQuery.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}
