//! The pools of one worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pool;
use super::clock::Clock;
use super::key::PoolKey;
use super::process::{Level, Process};
use crate::config::{Config, Database, Host};
use crate::derivation::Derivation;

/// How long a pool of `database` may be unused before it is forgotten; `None`: for ever.
/// `autodb_idle_timeout` concerns only databases that no entry but `*` makes.
fn forgotten_after(config: &Config, database: &str) -> Option<Duration> {
    let settings = &config.settings;
    let automatic = !config.databases.contains_key(database);
    let of_automatic = automatic.then_some(settings.autodb_idle_timeout);
    [Some(settings.pool_idle_timeout), of_automatic]
        .into_iter()
        .flatten()
        .filter(|idle| !idle.is_zero())
        .min()
}

/// See the module.
pub struct Pools {
    process: Arc<Process>,
    derivation: Arc<Derivation>,
    clock: Clock,
    map: RefCell<BTreeMap<PoolKey, Rc<Pool>>>,
    /// When the names of servers were looked up again last.
    pub(super) looked_up: Cell<Instant>,
}

impl Pools {
    /// No pools yet.
    pub fn new(process: Arc<Process>, derivation: Arc<Derivation>) -> Rc<Self> {
        Rc::new(Self {
            process,
            derivation,
            clock: Clock::default(),
            map: RefCell::default(),
            looked_up: Cell::new(Instant::now()),
        })
    }

    /// The worker's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Key derivations for logins to servers.
    pub(super) fn derivation(&self) -> &Arc<Derivation> {
        &self.derivation
    }

    /// What all workers share.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The pool of this key, made if there is none.
    pub fn get_or_create(
        self: &Rc<Self>,
        key: &PoolKey,
        config: &Arc<Config>,
        database: &Arc<Database>,
    ) -> Rc<Pool> {
        if let Some(pool) = self.map.borrow().get(key) {
            return pool.clone();
        }
        let pool = Pool::new(self, key.clone(), config.clone(), database.clone(), None);
        self.map.borrow_mut().insert(key.clone(), pool.clone());
        pool
    }

    /// The pool of a cluster's replica beside the pool `home` of its primary, made if there is none.
    pub(super) fn replica(self: &Rc<Self>, home: &Rc<Pool>, host: &Host) -> Rc<Pool> {
        let key = PoolKey {
            replica: Some(host.to_string().into()),
            ..home.key.clone()
        };
        if let Some(pool) = self.map.borrow().get(&key) {
            return pool.clone();
        }
        let (config, database) = (home.config.borrow().clone(), home.database());
        let pool = Pool::new(
            self,
            key.clone(),
            config,
            database,
            Some(Rc::downgrade(home)),
        );
        self.map.borrow_mut().insert(key, pool.clone());
        pool
    }

    /// All pools, in the order of their keys.
    pub fn all(&self) -> Vec<Rc<Pool>> {
        self.map.borrow().values().cloned().collect()
    }

    /// Pools of one database, or all of them.
    pub fn of(&self, database: Option<&str>) -> Vec<Rc<Pool>> {
        let mut pools = self.all();
        pools.retain(|pool| database.is_none_or(|name| &*pool.key.database == name));
        pools
    }

    /// Periodic upkeep of all pools.
    pub fn tick(self: &Rc<Self>, now: Instant) {
        for pool in self.all() {
            pool.tick(now);
        }
        self.look_up_names(now);
        let config = self.process.config.load();
        self.map.borrow_mut().retain(|key, pool| {
            let idle = forgotten_after(&config, &key.database);
            let unused = idle.is_some_and(|idle| pool.is_unused(now, idle));
            let unused = unused && Rc::strong_count(pool) == 1;
            if unused {
                self.process.placement.remove(key);
            }
            !unused
        });
        self.process.forget_unused();
    }

    /// Closes one idle server that counts under `name` at `level`, in a pool other than `asking`:
    /// the one idle longest. `false` if there is none.
    pub(super) fn evict_idle(&self, level: Level, name: &str, asking: &PoolKey) -> bool {
        let longest = self
            .all()
            .into_iter()
            .filter(|pool| pool.key != *asking && pool.is_under(level, name))
            .filter_map(|pool| pool.idle_since().map(|since| (since, pool)))
            .min_by_key(|(since, _)| *since);
        longest.is_some_and(|(_, pool)| pool.evict_one())
    }

    /// A server of `freed` is gone: others under the same limits may open one.
    pub(super) fn places_freed(self: &Rc<Self>, freed: &PoolKey) {
        for pool in self.all() {
            let shares = pool.key.database == freed.database || pool.key.user == freed.user;
            if shares && pool.key != *freed {
                pool.pump();
            }
        }
    }

    /// Takes a new configuration over. `recycle` are the databases whose servers have to go.
    pub fn reload(self: &Rc<Self>, config: &Arc<Config>, recycle: impl Fn(&str) -> bool) {
        for pool in self.all() {
            let name = &*pool.key.database;
            match config.database(name) {
                Some(database) => pool.reload(config.clone(), database, recycle(name)),
                // Its clients are told at their next transaction; nothing new is opened.
                None => pool.reload(config.clone(), pool.database(), true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_the_fallback_are_forgotten_by_themselves() {
        for (pool, automatic, configured, other) in [
            ("0", "0", None, None),
            ("0", "70", None, Some(70)),
            ("50", "70", Some(50), Some(50)),
            ("90", "70", Some(90), Some(70)),
            ("90", "0", Some(90), Some(90)),
        ] {
            let text = format!(
                "[pgweir]\npool_idle_timeout = {pool}\nautodb_idle_timeout = {automatic}\n\
                 [databases.app]\nhost = \"h\"\n[databases.\"*\"]\nhost = \"h\"\n"
            );
            let config = Config::from_toml(&text).expect("a good file");
            let after = |database| forgotten_after(&config, database).map(|idle| idle.as_secs());
            assert_eq!(after("app"), configured, "{text}");
            assert_eq!(after("some"), other, "{text}");
        }
    }
}
