//! pgweir's integration tests, one binary so that it is linked once.
//!
//! They need what `scripts/setup test` brings: PostgreSQL 15 and 18 and the client drivers. What
//! is missing fails a test; it is left out only on demand, and then each test says so:
//!
//! | variable | meaning |
//! |---|---|
//! | `PGWEIR_TEST_PG` | versions to run on, `15,18` if unset |
//! | `PGWEIR_TEST_NODE` | `skip` leaves node-postgres out |
//! | `PGWEIR_TEST_BROWSER` | `skip` leaves the page in Chromium out |
//! | `PGWEIR_TEST_PATIENCE` | factor on every time limit, for slow machines |
//! | `PGWEIR_TEST_SEED` | first seed of the random scripts |
//! | `PGWEIR_TEST_SCRIPTS` | how many random scripts per configuration |

mod advisor;
mod audit;
mod auth;
mod auth_query;
mod bans;
mod begin;
mod cancel;
mod dashboard;
mod differential;
mod drivers;
mod dropin;
mod failover;
mod faults;
mod findings;
mod firewall;
mod functions;
mod harness;
mod hba;
mod identity;
mod kept;
mod ldap;
mod licences;
mod limits;
mod locks;
mod logs;
mod mirror;
mod names;
mod offline;
mod otlp;
mod pam;
mod patroni;
mod prepared;
mod proxied;
mod relay;
mod replicas;
mod replication;
mod server_login;
mod shares;
mod smoke;
mod state;
mod support;
mod targets;
mod tidy;
mod tls;
mod tokio_postgres_driver;
mod top;
