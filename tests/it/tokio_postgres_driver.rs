//! tokio-postgres through pgweir: more clients than servers, in both modes that share them.

use std::pin::pin;

use bytes::Bytes;
use tokio_postgres::{Client, NoTls};

use crate::support::postgres::each_postgres;
use crate::support::scene;

async fn connect(port: u16) -> Client {
    let config = format!("host=127.0.0.1 port={port} user=t_trust dbname=app");
    let (client, connection) = tokio_postgres::connect(&config, NoTls)
        .await
        .expect("a login");
    tokio::spawn(connection);
    client
}

async fn drive(port: u16, n: i32) {
    let mut client = connect(port).await;
    let double = client
        .prepare("SELECT $1::int * 2")
        .await
        .expect("prepared");
    for i in 0..20 {
        let row = client.query_one(&double, &[&(n + i)]).await.expect("a row");
        assert_eq!(row.get::<_, i32>(0), (n + i) * 2);
    }
    // Pipelined: all are sent before the first answer is awaited.
    let ask = |n: i32| {
        let (client, double) = (&client, &double);
        async move { client.query_one(double, &[&n]).await }
    };
    let (a, b, c) = tokio::join!(ask(10), ask(20), ask(30));
    let values = [a, b, c].map(|row| row.expect("a row").get::<_, i32>(0));
    assert_eq!(values, [20, 40, 60]);
    let table = format!("tp_{n}");
    client
        .batch_execute(&format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (x int)"
        ))
        .await
        .expect("a table");
    let transaction = client.transaction().await.expect("a transaction");
    let insert = format!("INSERT INTO {table} VALUES ($1)");
    transaction.execute(&insert, &[&1]).await.expect("a row");
    let error = transaction
        .execute("SELECT 1/0", &[])
        .await
        .expect_err("division by zero");
    assert_eq!(error.code().map(|code| code.code()), Some("22012"));
    transaction.rollback().await.expect("undone");
    let sink = client
        .copy_in(&format!("COPY {table} FROM STDIN"))
        .await
        .expect("COPY");
    let mut sink = pin!(sink);
    futures_send(&mut sink, "1\n2\n3\n").await;
    assert_eq!(sink.finish().await.expect("the end of COPY"), 3);
    let row = client
        .query_one(&format!("SELECT sum(x) FROM {table}"), &[])
        .await
        .expect("a row");
    assert_eq!(row.get::<_, i64>(0), 6);
    // A cancel hits this client's query and nobody else's.
    let token = client.cancel_token();
    let cancel = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    });
    let error = client
        .simple_query("SELECT pg_sleep(60)")
        .await
        .expect_err("cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"));
    cancel.await.expect("the canceller").expect("delivered");
    assert_eq!(
        client
            .query_one("SELECT $1::int", &[&n])
            .await
            .expect("a row")
            .get::<_, i32>(0),
        n
    );
}

/// Sends one piece of COPY data.
async fn futures_send(
    sink: &mut std::pin::Pin<&mut tokio_postgres::CopyInSink<Bytes>>,
    data: &'static str,
) {
    use futures_sink::Sink as _;
    std::future::poll_fn(|cx| sink.as_mut().poll_ready(cx))
        .await
        .expect("ready");
    sink.as_mut()
        .start_send(Bytes::from_static(data.as_bytes()))
        .expect("taken");
    std::future::poll_fn(|cx| sink.as_mut().poll_flush(cx))
        .await
        .expect("sent");
}

#[test]
fn tokio_postgres_through_pgweir() {
    for postgres in each_postgres() {
        for mode in ["transaction", "session"] {
            let clients = if mode == "session" { 2 } else { 8 };
            let (pgweir, _) = scene::start(postgres, mode, 2);
            let port = pgweir.address().port();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let all: Vec<_> = (0..clients).map(|n| tokio::spawn(drive(port, n))).collect();
                for one in all {
                    one.await.expect("a client");
                }
            });
        }
    }
}
