//! Sessions that are for the primary, or for replicas, as a whole: for applications that split by hand.
//!
//! Nothing is looked at then but which servers may be had: what a client of replicas sends goes to one, and
//! what that refuses (25006) its client is told, as PostgreSQL itself would tell it.
//!
//! Source: libpq, `target_session_attrs`.

use std::rc::Rc;
use std::task::Context as TaskContext;
use std::time::Instant;

use super::Session;
use super::route::Visit;
use crate::config::cluster::{ClusterPolicy, ReadYourWrites, Target};
use crate::pool::Pool;
use crate::pool::cluster::Cluster;
use crate::route::choice::{self, Reason, Route, Wanted};

/// The parameter in which a client says it for its session.
const PARAMETER: &str = "pgweir.target_session_attrs";

impl Session {
    /// Which servers this session is for: what its client says, else the port it came through, else the
    /// database.
    pub(super) fn target(&self, policy: &ClusterPolicy) -> Target {
        let said = self.vars.get(PARAMETER).and_then(Target::parse);
        self.target_if(said, policy)
    }

    fn target_if(&self, said: Option<Target>, policy: &ClusterPolicy) -> Target {
        said.or(self.me.target).unwrap_or(policy.target)
    }

    /// The pool of a server of the session's target. `None` if its request waits for one.
    pub(super) fn aim(
        &mut self,
        target: Target,
        cluster: &Cluster,
        policy: &ClusterPolicy,
        before: &Visit,
        cx: &TaskContext<'_>,
    ) -> Option<Rc<Pool>> {
        let wanted = Wanted {
            written: match policy.read_your_writes {
                ReadYourWrites::Database => cluster.written(),
                // It writes nothing itself.
                _ => None,
            },
            position: self.min_lsn(),
            without: before.failed,
            ..Wanted::default()
        };
        self.visit.failed = before.failed;
        match self.aimed(target, cluster, policy, &wanted) {
            Some(Route::Wait(_)) => {
                self.wait_for_replica(cluster, before.waits, cx);
                return None;
            }
            Some(Route::Replica(at)) => {
                if let Some(pool) = self.pool.replica(at) {
                    (self.visit.standby, self.visit.at) = (true, at as u8);
                    self.told(Reason::Target);
                    return Some(pool);
                }
            }
            Some(Route::Primary(reason)) => self.told(reason),
            None => {}
        }
        Some(self.pool.clone())
    }

    fn aimed(
        &self,
        target: Target,
        cluster: &Cluster,
        policy: &ClusterPolicy,
        wanted: &Wanted,
    ) -> Option<Route> {
        let load = |at| self.load(false, at);
        let chance = || self.chance(cluster, policy);
        let (view, now) = (cluster.view(), Instant::now());
        choice::aim(&view, policy, target, wanted, now, load, chance)
    }

    /// The pool in which a client's login is tried: of a replica if its session is for those and one is known,
    /// so that it is told what such a server says of itself, and need not wait for a primary.
    pub(super) fn login_pool(&mut self) -> Rc<Pool> {
        let Some((cluster, policy)) = self.pool.cluster().zip(self.pool.database().cluster())
        else {
            return self.pool.clone();
        };
        let login = self.rare.get().and_then(|rare| rare.login.as_ref());
        let said = login.and_then(|login| {
            let mut params = login.params.iter();
            let said = params.find(|(name, _)| name.eq_ignore_ascii_case(PARAMETER));
            said.and_then(|(_, value)| Target::parse(value))
        });
        let target = self.target_if(said, &policy);
        let wanted = Wanted {
            // One that took no login is not asked again for this one.
            without: self.visit.failed,
            ..Wanted::default()
        };
        if let Some(Route::Replica(at)) = self.aimed(target, &cluster, &policy, &wanted)
            && let Some(pool) = self.pool.replica(at)
        {
            (self.visit.standby, self.visit.at) = (true, at as u8);
            return pool;
        }
        self.pool.clone()
    }
}
