//! Clusters whose servers Patroni knows: it is asked again and again which there are and which one holds the
//! leader's key.
//!
//! Nothing is believed of a server's state that the server does not say itself: Patroni says which servers there
//! are and which one alone may be the primary. So an old primary that has lost the key gets no writes although
//! it still takes them, and a new one gets them when it is one. If Patroni does not answer, what it said last
//! holds.

pub mod client;
pub mod members;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Uri;
use tokio::task::JoinHandle;

use crate::config::Member;
use crate::control::Control;
use crate::net::http::Trust;

/// Shortest pause between two questions.
const SHORTEST: Duration = Duration::from_millis(100);

/// How often somebody looks for databases that nobody asks for.
const TICK: Duration = Duration::from_secs(1);

/// Keeps Patroni asked for every database that names one, until the process ends. Each has a task of its own, so
/// that one whose Patroni is silent delays no news of the others.
pub async fn run(control: Control) {
    let mut asked: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    let mut tick = crate::timer::interval(TICK);
    loop {
        tick.tick().await;
        asked.retain(|_, task| !task.is_finished());
        let config = control.process().config.load_full();
        let databases = config.databases.values();
        for database in databases.filter(|database| !database.patroni.is_empty()) {
            if !asked.contains_key(&database.name) {
                let task = tokio::spawn(follow(control.clone(), database.name.clone()));
                asked.insert(database.name.clone(), task);
            }
        }
    }
}

/// Asks for one database, as long as it names a Patroni.
async fn follow(control: Control, name: String) {
    let mut silent = false;
    loop {
        let began = Instant::now();
        let config = control.process().config.load_full();
        let Some(database) = config.databases.get(&*name) else {
            return;
        };
        if database.patroni.is_empty() {
            return;
        }
        match ask(&control, &database.patroni, &database.seeds).await {
            Ok(members) => {
                if std::mem::take(&mut silent) {
                    tracing::info!(database = name, "Patroni answers again");
                }
                control.discovered(&name, members);
            }
            Err(error) if !std::mem::replace(&mut silent, true) => {
                tracing::warn!(
                    database = name,
                    "Patroni does not answer, and the servers stay what they were: {error}"
                );
            }
            Err(_) => {}
        }
        let pause = config.settings.cluster_check_interval.max(SHORTEST);
        crate::timer::sleep(pause.saturating_sub(began.elapsed()).max(SHORTEST)).await;
    }
}

/// The first answer that makes sense of one of these places.
async fn ask(
    control: &Control,
    places: &[Arc<str>],
    seeds: &[Member],
) -> Result<Vec<Member>, String> {
    let mut errors = Vec::new();
    for place in places {
        let answer = async {
            let url: Uri = place.parse().map_err(|_| "it is no URL".to_owned())?;
            let trust = Trust {
                tls: control.process().tls.load().patroni.clone(),
                setting: "patroni_ca_file",
            };
            let answer = client::get(&url, trust).await?;
            members::read(&answer, seeds)
        };
        match answer.await {
            Ok(members) => return Ok(members),
            Err(error) => errors.push(format!("{place}: {error}")),
        }
    }
    Err(errors.join("; "))
}
