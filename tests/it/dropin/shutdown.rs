//! The end of the process as service managers ask for it.

use std::time::Duration;

use super::{client, first, ini};
use crate::support::message;
use crate::support::peer::Heard;
use crate::support::pgweir::Pgweir;
use crate::support::scene;
use crate::support::wait::patient;

/// SIGTERM with a deadline: idle clients are told to leave first, one in a transaction may finish
/// it, and the process ends in order.
#[test]
fn clients_leave_between_their_transactions() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let more = "pool_mode = transaction\nshutdown_timeout = 6";
    let mut pgweir = Pgweir::start_ini(&ini(postgres, &database, "", more), &[]);
    let (mut idle, mut busy) = (client(&pgweir), client(&pgweir));
    assert_eq!(idle.value("SELECT 1"), "1");
    busy.query("BEGIN");
    assert_eq!(busy.value("SELECT 2"), "2");
    pgweir.signal("TERM");
    match idle.hear(patient(Duration::from_secs(10))) {
        Heard::Message(message) if message.tag == b'E' => {
            assert_eq!(message.report().sqlstate(), "57P01");
        }
        other => panic!("{other:?}"),
    }
    assert!(std::net::TcpStream::connect(pgweir.address()).is_err());
    assert_eq!(busy.value("SELECT 3"), "3");
    busy.send(&[message::query("COMMIT")]);
    let told = busy.expect_end();
    assert!(told.iter().any(|message| message.body == b"COMMIT\0"));
    assert_eq!(scene::the_error(&told).sqlstate(), "57P01");
    assert!(pgweir.wait().success());
    let log = pgweir.log();
    assert!(
        log.contains("got SIGTERM, shutting down, waiting for all clients"),
        "{log}"
    );
    assert!(
        !log.contains("shutdown_timeout has passed: closing"),
        "{log}"
    );
}
