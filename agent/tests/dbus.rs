//! AID4 over D-Bus: the real daemon at a real `dbus-daemon` with the policy of the package.
#![cfg(feature = "dbus")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent::config::{Bus, Config};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::broker::{Broker, serve, welcome};
use support::*;
use tokio::net::TcpListener;
use zbus::connection::Builder;
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, Variant};

const NAME: &str = "org.aid.Agent1";
const PATH: &str = "/org/aid/Agent1";
const POLICY: &str = include_str!("../dist/org.aid.Agent1.conf");
const IGNITION: &str = "Vehicle.LowVoltageSystemState";
/// A user whom nobody admitted.
const STRANGER: u32 = 65534;

type Members = BTreeMap<String, OwnedVariant>;

/// A `dbus-daemon` with the rules of Debian's system bus.
struct Daemon {
    process: Child,
    address: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    /// Starts it with these rules behind those of the package; `None` without `dbus-daemon`.
    fn start(folder: &Path, more: &str) -> Option<Self> {
        let own = rustix::process::geteuid().as_raw();
        let policy = POLICY.replace("user=\"root\"", &format!("user=\"{own}\""));
        std::fs::write(folder.join("policy.conf"), policy).expect("write");
        // Reached by other users, too: abstract, not in the test's own folder.
        let name = format!("aid-agent-{}-{}", std::process::id(), folder.display());
        let address = format!("unix:abstract={}", name.replace('/', "-"));
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>policy.conf</include>
  {more}
</busconfig>"#
        );
        let file = folder.join("bus.conf");
        std::fs::write(&file, config).expect("write");
        let mut config = std::ffi::OsString::from("--config-file=");
        config.push(&file);
        let started = Command::new("dbus-daemon")
            .arg(config)
            .args(["--nofork", "--nopidfile"])
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            aid_needs::missing(aid_needs::Need::Dbus, "dbus-daemon is not installed");
            return None;
        };
        Some(Self { process, address })
    }

    /// A connection, once it listens.
    async fn connect(&self) -> Connection {
        let start = Instant::now();
        loop {
            match Builder::address(self.address.as_str()).build().await {
                Ok(connection) => return connection,
                Err(e) => assert!(start.elapsed() < Duration::from_secs(60), "{e}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A call by another user, as its command line; what it printed.
    async fn send_as(&self, user: u32, method: &str) -> String {
        let mut command = Command::new("setpriv");
        command.args([
            format!("--reuid={user}"),
            format!("--regid={user}"),
            "--clear-groups".into(),
            "dbus-send".into(),
            format!("--bus={}", self.address),
            "--print-reply".into(),
            format!("--dest={NAME}"),
            PATH.into(),
            format!("{NAME}.{method}"),
        ]);
        // The agent answers on this thread.
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("thread");
        let output = output.expect("setpriv and dbus-send run");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    }
}

/// Calls a method with these arguments.
async fn ask<A, R>(connection: &Connection, method: &str, arguments: &A) -> Result<R, String>
where
    A: serde::Serialize + zbus::DynamicType,
    R: for<'d> serde::Deserialize<'d> + zbus::Type,
{
    let reply = connection
        .call_method(Some(NAME), PATH, Some(NAME), method, arguments)
        .await
        .map_err(|e| e.to_string())?;
    reply.body().deserialize().map_err(|e| e.to_string())
}

/// Waits until the service is on the bus.
async fn wait_for_service(connection: &Connection) -> Members {
    let start = Instant::now();
    loop {
        match ask(connection, "GetStatus", &()).await {
            Ok(status) => return status,
            Err(e) => assert!(start.elapsed() < Duration::from_secs(60), "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn text(members: &Members, name: &str) -> String {
    let value = members.get(name).unwrap_or_else(|| panic!("no {name}"));
    value.downcast_ref::<String>().expect(name)
}

fn with_bus(folder: &Path, cmp: &str, bus: &Daemon) -> Config {
    let mut config = configure(folder, cmp, EID);
    config.dbus = Bus::Address(bus.address.clone());
    config
}

// R-3.2-6
#[tokio::test]
async fn a_driver_logs_in_and_parks_over_the_bus() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(bus) = Daemon::start(folder.path(), "") else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let cmp = listener.local_addr().expect("address").to_string();
    let mut config = with_bus(folder.path(), &cmp, &bus);
    config.session.grace_s = 0;
    let broker = Arc::new(Mutex::new(Broker {
        answer: Some(welcome),
        ..Broker::default()
    }));
    serve(listener, folder.path(), &broker);
    let work = async {
        let client = bus.connect().await;
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .interface(NAME)
            .build()
            .expect("rule");
        let mut events = MessageStream::for_match_rule(rule, &client, None)
            .await
            .expect("events");
        wait_for_service(&client).await;
        wait(&config.api, "up", |s| s["link"] == "up").await;

        let id: String = ask(&client, "Login", &("ada", "123456"))
            .await
            .expect("login");
        assert_eq!(id.len(), 32);
        let mut last = None;
        loop {
            let event = events.next().await.expect("event").expect("message");
            let body = event.body();
            let (name, members): (String, Members) = body.deserialize().expect("members");
            // They come in order, none is left out. The first may be the state.
            let seq = members["seq"].downcast_ref::<i64>().expect("seq");
            assert!(last.is_none_or(|last| seq == last + 1), "{last:?} {seq}");
            last = Some(seq);
            if name == "enabled" {
                assert_eq!(text(&members, "iccid"), ICCID);
                break;
            }
        }
        let profiles: Vec<Members> = ask(&client, "GetProfiles", &()).await.expect("profiles");
        assert_eq!(text(&profiles[0], "state"), "enabled");

        // Ignition and speed: what the bus sets, the socket shows, and it acts.
        let speed = ("Vehicle.Speed", Variant::from(50_u8));
        let set: Result<(), String> = ask(&client, "SetSignal", &speed).await;
        set.expect("speed");
        let moving = |s: &serde_json::Value| s["vehicle"]["moving"] == true;
        wait(&config.api, "moving", moving).await;
        let off = (IGNITION, Variant::from("OFF"));
        let set: Result<(), String> = ask(&client, "SetSignal", &off).await;
        set.expect("ignition");
        let parked = |s: &serde_json::Value| s["session"].is_null() && s["phase"] == "guest";
        wait(&config.api, "parked", parked).await;
        let signals: Members = ask(&client, "GetSignals", &()).await.expect("signals");
        assert_eq!(text(&signals, IGNITION), "OFF");
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}

#[tokio::test]
async fn errors_have_names_and_say_what_the_socket_says() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(bus) = Daemon::start(folder.path(), "") else {
        return;
    };
    let config = with_bus(folder.path(), NO_CMP, &bus);
    let work = async {
        let client = bus.connect().await;
        wait_for_service(&client).await;
        let refused = async |method: &str, error: &str, result: Result<(), String>| {
            let text = result.expect_err(method);
            let name = format!("org.aid.Agent1.Error.{error}");
            assert!(text.contains(&name), "{method}: {text}");
            text
        };
        let login = ask::<_, String>(&client, "Login", &("ada", "12")).await;
        let said = refused("Login", "Invalid", login.map(drop)).await;
        assert!(said.contains("pin 4 to 16 digits"), "{said}");
        let said = ask(&client, "DeleteProfile", &("x")).await;
        refused("DeleteProfile", "Invalid", said).await;
        let said = ask(&client, "DeleteProfile", &(ICCID)).await;
        refused("DeleteProfile", "Conflict", said).await;
        let said = ask(&client, "Provision", &()).await;
        refused("Provision", "Conflict", said).await;
        let door = ("Vehicle.Cabin.Door", Variant::from(true));
        let said = ask(&client, "SetSignal", &door).await;
        let said = refused("SetSignal", "NotFound", said).await;
        assert!(said.contains(IGNITION), "{said}");
        for value in [Variant::from("fast"), Variant::from(vec![1_u8])] {
            let said = ask(&client, "SetSignal", &("Vehicle.Speed", value)).await;
            let said = refused("SetSignal", "Invalid", said).await;
            assert!(said.contains("km/h"), "{said}");
        }
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}

#[tokio::test]
async fn a_bus_that_comes_late_or_restarts_is_connected_to_again() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(bus) = Daemon::start(folder.path(), "") else {
        return;
    };
    let config = with_bus(folder.path(), NO_CMP, &bus);
    // Before the agent starts there is none.
    drop(bus);
    let work = async {
        wait(&config.api, "running", |s| s["phase"].is_string()).await;
        for _ in 0..2 {
            let bus = Daemon::start(folder.path(), "").expect("dbus-daemon");
            let client = bus.connect().await;
            let status = wait_for_service(&client).await;
            assert_eq!(text(&status, "link"), "down");
        }
    };
    let card = TestCard::new(false);
    with_daemon(&config, &card, work).await.expect("daemon");
}

#[tokio::test]
async fn strangers_are_stopped_by_the_policy_and_by_the_agent() {
    if !rustix::process::geteuid().is_root() {
        // Only root can act as somebody else.
        return;
    }
    let admitted = format!(
        r#"<policy user="{STRANGER}"><allow send_destination="{NAME}"/><allow receive_sender="{NAME}"/></policy>"#
    );
    for (more, expected) in [
        ("", "org.freedesktop.DBus.Error.AccessDenied"),
        (admitted.as_str(), "org.aid.Agent1.Error.AccessDenied"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let Some(bus) = Daemon::start(folder.path(), more) else {
            return;
        };
        let mut config = with_bus(folder.path(), NO_CMP, &bus);
        config.api_uids = vec![STRANGER - 1];
        let work = async {
            let client = bus.connect().await;
            wait_for_service(&client).await;
            let said = bus.send_as(STRANGER, "GetStatus").await;
            assert!(said.contains(expected), "{said}");
            if !more.is_empty() {
                return;
            }
            // The same call by who may.
            let own = bus.send_as(0, "GetStatus").await;
            assert!(own.contains("phase"), "{own}");
        };
        let card = TestCard::new(false);
        with_daemon(&config, &card, work).await.expect("daemon");
    }
}
