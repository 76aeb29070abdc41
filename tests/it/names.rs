//! Host names of servers that lead elsewhere after a while.

use std::io::{Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use crate::support::pgweir::Setup;
use crate::support::postgres::{Postgres, Version};
use crate::support::scene::{self, Watch};
use crate::support::wait::eventually;
use crate::support::wire::Wire;

const NAME: &str = "db.pgweir.test";
const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The name leads to this address. In place and of one length, so that nobody finds half of it.
fn lead_to(hosts: &Path, address: Ipv4Addr) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = (options.write(true).create(true).truncate(false))
        .open(hosts)
        .expect("the file");
    file.seek(SeekFrom::Start(0)).expect("its begin");
    writeln!(file, "{address} {NAME}").expect("written");
}

/// One port of both addresses, which leads to one server each.
fn wires(old: u16, new: u16) -> (Wire, Wire) {
    for _ in 0..20 {
        let first = Wire::between((OLD, 0), old).expect("a port");
        if let Ok(second) = Wire::between((NEW, first.port()), new) {
            return (first, second);
        }
    }
    panic!("no port is free at both addresses");
}

#[test]
fn connections_follow_the_name_when_they_are_free() {
    let wanted = |version: Version| Some((Postgres::own(version)?, Postgres::own(version)?));
    let Some((old, new)) = Version::ALL.into_iter().find_map(wanted) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let hosts = directory.path().join("hosts");
    lead_to(&hosts, OLD);
    let (first, _second) = wires(old.port(), new.port());
    let setup = |ttl: &str| {
        Setup::new().hosts(&hosts).map(|setup| {
            setup
                .set("pool_mode", "transaction")
                .set("dns_max_ttl", ttl)
                .database_at("app", first.port())
                .database_set("app", "host", NAME)
                .database_set("app", "dbname", "postgres")
        })
    };
    let (Some(follows), Some(stays)) = (setup("200ms"), setup("0s")) else {
        return;
    };
    let (follows, stays) = (follows.start(), stays.start());
    let (before, after) = (old.port().to_string(), new.port().to_string());
    let [mut free, mut busy] = [(); 2].map(|()| scene::client(&follows));
    let mut left = scene::client(&stays);
    busy.query("BEGIN");
    for peer in [&mut free, &mut busy, &mut left] {
        assert_eq!(peer.value("SHOW port"), before);
    }
    lead_to(&hosts, NEW);
    eventually("a connection to the new address", || {
        (free.value("SHOW port") == after).then_some(())
    });
    assert_eq!(busy.value("SHOW port"), before, "its transaction goes on");
    busy.query("COMMIT");
    assert_eq!(busy.value("SHOW port"), after);
    assert_eq!(left.value("SHOW port"), before, "0 is never");
    // Only the one of `stays` is left with the old server.
    let mut watch = Watch::new(&old, "postgres");
    watch.until(1, "pid <> pg_backend_pid()");
}
