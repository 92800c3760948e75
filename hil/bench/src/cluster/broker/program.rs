use anyhow::Context as _;
use rmqtt::context::ServerContext;
use rmqtt::net::{tls_provider, Builder};
use rmqtt::node::Node;
use rmqtt::server::MqttServer;
use std::time::Duration;

/// `NODE-ID RPC-ADDRESS LISTEN CERT KEY CLIENT-CA CONFIG-DIR`
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    env_logger::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [id, rpc, listen, cert, key, client_ca, config] = args.as_slice() else {
        anyhow::bail!("usage: NODE-ID RPC-ADDRESS LISTEN CERT KEY CLIENT-CA CONFIG-DIR");
    };
    let _ = tls_provider::default_provider().install_default();
    let node = Node::new(id.parse()?, 1e9, 1e9, Duration::from_secs(60));
    let scx = ServerContext::new()
        .node(node)
        .busy_check_enable(false)
        .plugins_config_dir(config.as_str())
        .build()
        .await;
    scx.node.start_grpc_server(scx.clone(), rpc.parse()?, true, false);
    rmqtt_acl::register(&scx, true, true).await.context("rmqtt-acl")?;
    rmqtt_cluster_raft::register(&scx, true, true).await.context("rmqtt-cluster-raft")?;
    let listener = Builder::new()
        .name("cars")
        .laddr(listen.parse()?)
        .reuseaddr(Some(true))
        .allow_anonymous(true)
        .allow_zero_keepalive(true)
        .tls_cross_certificate(true)
        .tls_cert(Some(cert.as_str()))
        .tls_key(Some(key.as_str()))
        .tls_client_ca_certs(Some(client_ca.as_str()))
        .cert_cn_as_username(true)
        .bind()?
        .tls()?;
    MqttServer::new(scx).listener(listener).build().start();
    println!("ready");
    std::future::pending().await
}
