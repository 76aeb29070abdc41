//! Scripted clients and servers that speak in frames over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::message::{self, Message, hex_dump};
use super::wait::patient;

/// Longest silence that a peer puts up with.
const SILENCE: Duration = Duration::from_secs(15);

/// Our end of a connection. Every method panics, with a dump of what came, if the other side
/// does not do as expected in time.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    /// Bytes that came and are not yet taken.
    pending: Vec<u8>,
    /// BackendKeyData of the login.
    key: Option<(u32, Vec<u8>)>,
    /// ParameterStatus of the login.
    parameters: Vec<(String, String)>,
}

/// What a connection did when asked for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Message),
    /// End of stream or a reset.
    Closed,
    /// Nothing came in time.
    Silence,
}

impl Peer {
    /// A client's end, connected, nothing sent yet.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connecting");
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self {
            stream,
            pending: Vec::new(),
            key: None,
            parameters: Vec::new(),
        }
    }

    /// A client's end after a login that needs no password.
    pub(crate) fn login(address: SocketAddr, user: &str, database: &str) -> Self {
        Self::login_with(address, &[("user", user), ("database", database)])
    }

    /// As [`Peer::login`], with all parameters of the StartupMessage.
    pub(crate) fn login_with(address: SocketAddr, parameters: &[(&str, &str)]) -> Self {
        let mut peer = Self::connect(address);
        peer.send_raw(&message::startup(0x0003_0000, parameters));
        let ok = peer.expect(b'R');
        assert_eq!(ok.body, [0, 0, 0, 0], "a login without a password");
        peer.finish_login();
        peer
    }

    /// Reads what follows AuthenticationOk, to ReadyForQuery.
    pub(crate) fn finish_login(&mut self) {
        loop {
            let message = self.next();
            match message.tag {
                b'S' => self.parameters.push(message.parameter()),
                b'K' => {
                    let (pid, key) = message.body.split_at(4);
                    let pid = u32::from_be_bytes(pid.try_into().expect("four bytes"));
                    self.key = Some((pid, key.to_vec()));
                }
                b'N' => {}
                b'Z' => return,
                _ => panic!("{message:?} at the end of a login"),
            }
        }
    }

    /// BackendKeyData of the login.
    pub(crate) fn key(&self) -> (u32, &[u8]) {
        let (pid, key) = self.key.as_ref().expect("a login with a key");
        (*pid, key)
    }

    /// The value of a ParameterStatus of the login.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sending");
    }

    /// Sends messages in one write.
    pub(crate) fn send(&mut self, messages: &[Message]) {
        let bytes: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
        self.send_raw(&bytes);
    }

    /// As [`Peer::send`], for a connection that may have ended.
    pub(crate) fn try_send(&mut self, messages: &[Message]) -> std::io::Result<()> {
        let bytes: Vec<u8> = messages.iter().flat_map(Message::bytes).collect();
        self.try_send_raw(&bytes)
    }

    /// As [`Peer::send_raw`], for a connection that may have ended.
    pub(crate) fn try_send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a simple query and gives all that answers it, to ReadyForQuery or the end.
    pub(crate) fn until_ready_or_end(&mut self, sql: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.try_send(&[message::query(sql)]).is_err() {
            return messages;
        }
        while let Heard::Message(message) = self.hear(patient(SILENCE)) {
            let done = message.tag == b'Z';
            messages.push(message);
            if done {
                break;
            }
        }
        messages
    }

    /// The next message, the end, or silence for longer than `limit`.
    pub(crate) fn hear(&mut self, limit: Duration) -> Heard {
        loop {
            if let Some(message) = self.take() {
                return Heard::Message(message);
            }
            self.stream
                .set_read_timeout(Some(limit))
                .expect("a read timeout");
            let mut chunk = [0; 16384];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Closed,
                Ok(n) => self.pending.extend(&chunk[..n]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Heard::Silence,
                    ErrorKind::Interrupted => {}
                    _ => return Heard::Closed,
                },
            }
        }
    }

    /// Cuts a message off `pending`, if a whole one is there.
    fn take(&mut self) -> Option<Message> {
        let header = self.pending.get(..5)?;
        let length = u32::from_be_bytes(header[1..].try_into().expect("four bytes"));
        let end = usize::try_from(length).expect("64 bits") + 1;
        assert!(length >= 4, "a length of {length}:\n{}", self.dump());
        let body = self.pending.get(5..end)?.to_vec();
        let tag = self.pending[0];
        self.pending.drain(..end);
        Some(Message { tag, body })
    }

    fn dump(&self) -> String {
        hex_dump(&self.pending[..self.pending.len().min(1024)])
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Message {
        match self.hear(patient(SILENCE)) {
            Heard::Message(message) => message,
            other => panic!(
                "{other:?} instead of a message; bytes not taken:\n{}",
                self.dump()
            ),
        }
    }

    /// The next message, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Message {
        let message = self.next();
        assert_eq!(
            char::from(message.tag),
            char::from(tag),
            "got {message:?}\n{}",
            hex_dump(&message.bytes()[..message.bytes().len().min(512)])
        );
        message
    }

    /// The next messages, which must have these tags.
    pub(crate) fn expect_tags(&mut self, tags: &str) -> Vec<Message> {
        tags.bytes().map(|tag| self.expect(tag)).collect()
    }

    /// Everything up to and with the `count`th ReadyForQuery.
    pub(crate) fn until_ready(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut left = count;
        while left > 0 {
            let message = self.next();
            left -= usize::from(message.tag == b'Z');
            messages.push(message);
        }
        messages
    }

    /// Sends a simple query and gives all that answers it, ReadyForQuery included.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&[message::query(sql)]);
        self.until_ready(1)
    }

    /// The only value of a query that gives one.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        let messages = self.query(sql);
        let rows: Vec<&Message> = messages.iter().filter(|m| m.tag == b'D').collect();
        assert_eq!(rows.len(), 1, "{sql}: {messages:?}");
        rows[0].columns()[0].clone().unwrap_or_default()
    }

    /// The other side must close now; what comes before that is given.
    pub(crate) fn expect_end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.hear(patient(SILENCE)) {
                Heard::Message(message) => messages.push(message),
                Heard::Closed => return messages,
                Heard::Silence => panic!("still open after {messages:?}"),
            }
        }
    }

    /// Nothing must come for `time`.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        let heard = self.hear(time);
        assert_eq!(heard, Heard::Silence);
    }

    /// One raw byte, as the answer to SSLRequest is.
    pub(crate) fn byte(&mut self) -> u8 {
        self.stream
            .set_read_timeout(Some(patient(SILENCE)))
            .expect("a read timeout");
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("one byte");
        byte[0]
    }

    /// The plain stream, for a TLS handshake over it.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// A server that does what a test says.
#[derive(Debug)]
pub(crate) struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening");
        listener.set_nonblocking(true).expect("a listener");
        Self { listener }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// The next connection, nothing read yet.
    pub(crate) fn accept(&self) -> Peer {
        let stream = super::wait::eventually("somebody connects", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).expect("a stream");
        Peer::over(stream)
    }

    /// The next connection's first packet: its code or version, and the rest. An SSLRequest or
    /// GSSENCRequest is answered `N` and the packet after it is given.
    pub(crate) fn accept_startup(&self) -> (Peer, u32, Vec<u8>) {
        let mut peer = self.accept();
        loop {
            let (code, rest) = peer.untagged();
            match code {
                80_877_103 | 80_877_104 => peer.send_raw(b"N"),
                _ => return (peer, code, rest),
            }
        }
    }

    /// Takes the next connection and logs it in without a password, as PostgreSQL would.
    pub(crate) fn accept_login(&self, pid: u32) -> Peer {
        use message::from_server::{authentication_ok, backend_key, parameter_status, ready};
        let (mut peer, version, _) = self.accept_startup();
        assert_eq!(version >> 16, 3, "a StartupMessage");
        peer.send(&[
            authentication_ok(),
            parameter_status("server_version", "18.0"),
            parameter_status("server_encoding", "UTF8"),
            parameter_status("client_encoding", "UTF8"),
            parameter_status("DateStyle", "ISO, MDY"),
            parameter_status("TimeZone", "UTC"),
            parameter_status("IntervalStyle", "postgres"),
            parameter_status("integer_datetimes", "on"),
            parameter_status("standard_conforming_strings", "on"),
            parameter_status("application_name", ""),
            parameter_status("is_superuser", "on"),
            parameter_status("session_authorization", "t_trust"),
            backend_key(pid, &[1, 2, 3, 4]),
            ready(b'I'),
        ]);
        peer
    }
}

impl Peer {
    /// A packet of the startup phase: its first four bytes as a number, and the rest.
    fn untagged(&mut self) -> (u32, Vec<u8>) {
        self.stream
            .set_read_timeout(Some(patient(SILENCE)))
            .expect("a read timeout");
        let mut number = || {
            let mut bytes = [0; 4];
            self.stream
                .read_exact(&mut bytes)
                .expect("a startup packet");
            u32::from_be_bytes(bytes)
        };
        let length = number();
        let code = number();
        assert!((8..=10_000).contains(&length), "a length of {length}");
        let mut rest = vec![0; usize::try_from(length).expect("64 bits") - 8];
        self.stream.read_exact(&mut rest).expect("a startup packet");
        (code, rest)
    }
}
