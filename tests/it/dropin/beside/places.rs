//! Places under `max_client_conn`, and who takes them.

use super::{Pair, outcome};
use crate::support::peer::Peer;
use crate::support::scene;
use crate::support::wait::eventually;

/// One row of SHOW LISTS.
fn list(console: &mut Peer, name: &str) -> String {
    let answer = console.query("SHOW LISTS");
    let mut rows = answer.iter().filter(|message| message.tag == b'D');
    rows.find_map(|row| match row.columns().as_slice() {
        [Some(list), Some(items)] if list == name => Some(items.clone()),
        _ => None,
    })
    .unwrap_or_else(|| panic!("SHOW LISTS has no {name}"))
}

#[test]
fn sessions_of_the_console_take_places_but_are_never_refused() {
    let Some(pair) = Pair::start("max_client_conn = 4") else {
        return;
    };
    let both = ["PgBouncer", "pgweir"].into_iter().zip(pair.addresses());
    for (who, address) in both {
        let mut console = Peer::login(address, "postgres", "pgbouncer");
        let mut second = Peer::login(address, "t_trust", "pgbouncer");
        assert_eq!(list(&mut console, "used_clients"), "2", "{who}");
        assert_eq!(list(&mut console, "login_clients"), "0", "{who}");
        let clients: Vec<Peer> = (0..2)
            .map(|_| Peer::login(address, "t_trust", "app"))
            .collect();
        let refused = scene::try_login(address).expect_err("full, with two consoles");
        let (_, text) = outcome(&refused);
        assert!(
            text.starts_with("no more connections allowed (max_client_conn)"),
            "{who}: {text}"
        );
        let more: Vec<Peer> = ["postgres", "t_trust", "postgres"]
            .map(|user| Peer::login(address, user, "pgbouncer"))
            .into();
        assert_eq!(list(&mut second, "used_clients"), "7", "{who}");
        // Who was refused may be counted a little longer.
        eventually("nobody is logging in", || {
            (list(&mut second, "login_clients") == "0").then_some(())
        });
        // A console that ends makes room for a client.
        drop((more, console));
        let third = eventually("there is a place again", || scene::try_login(address).ok());
        scene::try_login(address).expect_err("full, with one console");
        drop((clients, third));
    }
}
