//! What workers are asked for, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A worker with so many waiting clients that has no whole snapshot for anybody; counts how often it is
/// asked for its holders.
fn worker(waiting: u32) -> (Control, Arc<AtomicU32>) {
    let (worker, mut mailbox) = mpsc::unbounded_channel();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut all = crate::admin::tests::snapshot();
        for pool in &mut all.pools {
            pool.cl_waiting = waiting;
        }
        while let Some(command) = mailbox.recv().await {
            match command {
                Command::Counts(answer) => drop(answer.send(Snapshot {
                    servers: Vec::new(),
                    clients: Vec::new(),
                    ..all.clone()
                })),
                Command::Holders(answer) => {
                    count.fetch_add(1, Ordering::Relaxed);
                    drop(answer.send(all.clone()));
                }
                _ => panic!("asked for more"),
            }
        }
    });
    let process = crate::admin::tests::process();
    let control = Control::new(process, vec![worker], |config| Ok(config.clone()));
    (control, asked)
}

#[tokio::test]
async fn who_holds_servers_is_asked_if_somebody_waits() {
    let (control, asked) = worker(0);
    let told = control.holders().await;
    assert_eq!((told.pools.len(), told.clients.len()), (2, 0));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let (control, asked) = worker(1);
    let told = control.holders().await;
    assert_eq!((told.servers.len(), told.clients.len()), (1, 1));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
