//! Reads that call functions of the database's own.

use crate::support::pgweir::Setup;
use crate::support::postgres::Version;
use crate::support::site::{ask, connect, eventually_async, runtime, site_of, within};

#[test]
fn functions_that_do_not_write_are_called_on_replicas() {
    for version in Version::ALL {
        let more = [("read_your_writes", "off".into())];
        let Some(site) = site_of(version, &["", ""], &more, Setup::new()) else {
            continue;
        };
        for text in [
            "CREATE FUNCTION calm(int) RETURNS text LANGUAGE sql STABLE \
             AS 'SELECT current_setting(''port'')'",
            "CREATE FUNCTION wild(int) RETURNS text LANGUAGE sql \
             AS 'SELECT current_setting(''port'')'",
            "CREATE SCHEMA other",
            "CREATE FUNCTION twin(int) RETURNS text LANGUAGE sql STABLE \
             AS 'SELECT current_setting(''port'')'",
            "CREATE FUNCTION other.twin(int) RETURNS text LANGUAGE sql VOLATILE \
             AS 'SELECT current_setting(''port'')'",
            // It says that it does not write, and does.
            "CREATE FUNCTION writes(bigint) RETURNS text LANGUAGE sql VOLATILE \
             AS 'INSERT INTO item VALUES ($1, 0); SELECT current_setting(''port'')'",
            "CREATE FUNCTION lies(bigint) RETURNS text LANGUAGE sql STABLE AS 'SELECT writes($1)'",
        ] {
            site.postgres.psql("postgres", text);
        }
        site.settle(1);
        let (primary, replica) = (site.primary(), site.replica(0));
        runtime().block_on(async {
            let client = connect(&site.pgweir).await;
            eventually_async(async || ask(&client, "SELECT calm(1)").await == replica).await;
            let rows = within(client.query("SELECT public.calm($1)", &[&2]))
                .await
                .expect("a row");
            assert_eq!(rows[0].get::<_, String>(0), replica);
            assert_eq!(ask(&client, "SELECT wild(1)").await, primary);
            assert_eq!(ask(&client, "SELECT twin(1)").await, primary);
            assert_eq!(ask(&client, "SELECT public.twin(1)").await, replica);
            assert_eq!(ask(&client, "SELECT other.twin(1)").await, primary);
            assert_eq!(ask(&client, "SELECT calm(1), wild(1)").await, primary);
            assert_eq!(ask(&client, "SELECT lies(1)").await, primary);
            assert_eq!(ask(&client, "SELECT lies(2)").await, primary);
            let count = "/* pgweir: route=primary */ SELECT count(*) FROM item";
            assert_eq!(ask(&client, count).await, "2", "each ran once");
        });
        let told = site.console("EXPLAIN ROUTE app 'SELECT calm(1)'");
        assert!(told.contains("goes to|127.0.0.1:"), "{told}");
        assert!(told.contains("statement|it only reads"), "{told}");
        let told = site.console("EXPLAIN ROUTE app 'SELECT wild(1)'");
        assert!(told.contains("VOLATILE"), "{told}");
    }
}
