//! A car: the MQTT client that the agent uses, over mutual TLS.

use super::World;
use aid_id::{AccountRef, Eid, Id, Secret};
use aid_wire::{Down, Envelope, LoginOutcome, Up, WIRE_VERSION, topic_down, topic_up};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What the client saw.
#[derive(Debug, Clone)]
pub enum Seen {
    Connected,
    Subscribed(String),
    Acked(String),
    Message(Envelope<Down>),
    Lost(String),
}

pub struct Car {
    pub eid: Eid,
    pub client: AsyncClient,
    pub seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
    count: u8,
}

impl Drop for Car {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Car {
    /// Connects with a certificate of the test's folder, without subscribing.
    pub fn dial(address: SocketAddr, tls: Arc<rustls::ClientConfig>, eid: Eid, id: &str) -> Self {
        let mut options = MqttOptions::new(id, ("localhost", address.port()));
        options.set_keep_alive(30);
        options.set_outgoing_inflight_upper_limit(16);
        let tls = TlsConnector::from(tls);
        options.set_socket_connector(move |_, _| {
            let tls = tls.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                tls.connect(ServerName::try_from("localhost").unwrap(), stream)
                    .await
            }
        });
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        let (tell, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let seen = match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => Seen::Connected,
                    Ok(Event::Incoming(Packet::SubAck(ack))) => {
                        Seen::Subscribed(format!("{:?}", ack.return_codes))
                    }
                    Ok(Event::Incoming(Packet::PubAck(ack))) => {
                        Seen::Acked(format!("{:?}", ack.reason))
                    }
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        Seen::Message(Envelope::decode(&p.payload).unwrap())
                    }
                    Ok(_) => continue,
                    Err(error) => {
                        let _ = tell.send(Seen::Lost(error.to_string()));
                        return;
                    }
                };
                if tell.send(seen).is_err() {
                    return;
                }
            }
        });
        Self {
            eid,
            client,
            seen,
            task,
            count: 0,
        }
    }

    /// The car of the world, subscribed.
    pub async fn connect(world: &World) -> Self {
        Self::connect_as(world, world.eid).await
    }

    pub async fn connect_as(world: &World, eid: Eid) -> Self {
        world.pki.issue(eid.as_str(), eid.as_str(), false);
        let tls = world.pki.client(eid.as_str());
        let mut car = Self::dial(world.gateway, tls, eid, eid.as_str());
        car.subscribe(&topic_down(&eid)).await;
        assert!(matches!(car.next().await, Seen::Connected));
        assert!(matches!(car.next().await, Seen::Subscribed(_)));
        car
    }

    pub async fn subscribe(&self, topic: &str) {
        self.client
            .subscribe(topic, QoS::AtLeastOnce)
            .await
            .unwrap();
    }

    pub async fn next(&mut self) -> Seen {
        let next = timeout(Duration::from_secs(10), self.seen.recv()).await;
        next.expect("nothing happened for ten seconds")
            .expect("the client ended")
    }

    /// Sends a message and returns its id.
    pub async fn send(&mut self, message_id: Id, body: Up) {
        let topic = topic_up(&self.eid);
        self.send_to(&topic, message_id, body).await;
    }

    pub async fn send_to(&mut self, topic: &str, message_id: Id, body: Up) {
        self.count += 1;
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id,
            correlation_id: message_id,
            sequence: u64::from(self.count),
            expires_at: None,
            body,
        };
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let bytes = envelope.encode().unwrap();
        self.client.publish(topic, bytes, options).await.unwrap();
    }

    /// The next message, acknowledgements of MQTT aside.
    pub async fn message(&mut self) -> Envelope<Down> {
        loop {
            match self.next().await {
                // It comes whenever something of it changes; and a grant after a login.
                Seen::Message(m)
                    if matches!(m.body, Down::UserProfile { .. } | Down::Verifier { .. }) => {}
                Seen::Message(message) => return message,
                Seen::Acked(_) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }

    /// The next AID User Profile, whatever comes before it.
    pub async fn user_profile(&mut self) -> aid_wire::UserProfile {
        loop {
            if let Seen::Message(m) = self.next().await
                && let Down::UserProfile { profile, .. } = m.body
            {
                return profile;
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn silence(&mut self) {
        while let Ok(Some(seen)) = timeout(Duration::from_millis(300), self.seen.recv()).await {
            assert!(matches!(seen, Seen::Acked(_)), "{seen:?}");
        }
    }

    pub async fn login(&mut self, login_id: Id, pin: &str) -> LoginOutcome {
        let body = Up::Login {
            login_id,
            user: "Eva".into(),
            pin: Secret::new(pin.into()),
        };
        self.send(login_id, body).await;
        let message = self.message().await;
        assert_eq!(message.message_id, login_id);
        match message.body {
            Down::LoginResult {
                login_id: id,
                outcome,
            } if id == login_id => outcome,
            other => panic!("expected a result, got {other:?}"),
        }
    }

    pub async fn ask(&mut self, request_id: Id, account: AccountRef) {
        let body = Up::RequestActivationCode {
            request_id,
            account,
        };
        self.send(request_id, body).await;
    }
}
