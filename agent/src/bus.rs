//! AID4 over D-Bus: the calls, checks and events of the unix socket as the service `org.aid.Agent1`.
//!
//! The bus's policy (`dist/org.aid.Agent1.conf`) says who may send; each call is judged by the user id that the bus reports,
//! too, as on the socket (`api_uids`). A bus that is away or restarts is connected to again. `docs/wire/aid4.md` describes it.
#![allow(
    clippy::disallowed_types,
    reason = "the code that zbus makes for an interface has a HashMap of its own"
)]

mod values;

use crate::api::{self, Api, Command, Listener, Refusal};
use crate::backoff::Backoff;
use crate::boot_clock;
use crate::config::Bus;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use values::Members;
use zbus::connection::{Builder, Connection};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{DBusError, OwnedVariant};

/// Name on the bus, and of the interface.
const NAME: &str = "org.aid.Agent1";
/// The one object.
const PATH: &str = "/org/aid/Agent1";
/// Most calls that are worked on at once; more are refused.
const CALLS: usize = 16;
/// Longest wait for the bus: to connect, and to report a caller's user id.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a call is refused; the name on the bus is `org.aid.Agent1.Error.` and the variant's.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.aid.Agent1.Error")]
enum CallError {
    #[zbus(error)]
    ZBus(zbus::Error),
    /// An argument is malformed.
    Invalid(String),
    /// There is nothing of this name.
    NotFound(String),
    /// Not in the present state.
    Conflict(String),
    /// The agent can't do it at present; ask again later.
    Unavailable(String),
    /// This user may not use the agent.
    AccessDenied(String),
    /// Too many calls at once.
    LimitsExceeded(String),
}

impl From<Refusal> for CallError {
    fn from(refused: Refusal) -> Self {
        match refused {
            Refusal::Invalid(text) => Self::Invalid(text),
            Refusal::NotFound(text) => Self::NotFound(text),
            Refusal::Conflict(text) => Self::Conflict(text.to_owned()),
            Refusal::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

/// The object at [`PATH`].
struct Service {
    api: Api,
    places: Arc<Semaphore>,
}

impl Service {
    /// Carries a call out for who may call.
    async fn call(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        command: Result<Command, Refusal>,
    ) -> Result<Value, CallError> {
        let Ok(_place) = self.places.try_acquire() else {
            let text = "too many calls at once; try again";
            return Err(CallError::LimitsExceeded(text.to_owned()));
        };
        let uid = tokio::time::timeout(PATIENCE, user_of(connection, header)).await;
        if !matches!(uid, Ok(Some(uid)) if self.api.uids.contains(&uid)) {
            let text = "this user may not use the agent's API (api_uids)";
            return Err(CallError::AccessDenied(text.to_owned()));
        }
        Ok(self.api.request(command?).await?)
    }
}

/// The user id of who calls, as the bus reports it.
async fn user_of(connection: &Connection, header: &Header<'_>) -> Option<u32> {
    const BUS: &str = "org.freedesktop.DBus";
    let sender = header.sender()?;
    let method = "GetConnectionUnixUser";
    let reply = connection
        .call_method(
            Some(BUS),
            "/org/freedesktop/DBus",
            Some(BUS),
            method,
            &(sender.as_str()),
        )
        .await;
    reply.ok()?.body().deserialize().ok()
}

fn login_id(answer: &Value) -> String {
    answer["login_id"].as_str().unwrap_or_default().to_owned()
}

#[zbus::interface(name = "org.aid.Agent1")]
impl Service {
    /// Begins a login by PIN; yields its id.
    async fn login(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        user: String,
        pin: String,
    ) -> Result<String, CallError> {
        let command = api::login(user, pin);
        let answer = self.call(connection, &header, command).await?;
        Ok(login_id(&answer))
    }

    /// Begins a login by a code that the user approves on a page; yields its id.
    async fn login_by_code(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, CallError> {
        let command = Ok(Command::LoginByCode);
        let answer = self.call(connection, &header, command).await?;
        Ok(login_id(&answer))
    }

    /// Ends the session.
    async fn logout(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        let command = Ok(Command::Logout);
        self.call(connection, &header, command).await.map(drop)
    }

    /// Deletes a profile of the user who is logged in.
    async fn delete_profile(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        iccid: String,
    ) -> Result<(), CallError> {
        let command = api::delete(&iccid);
        self.call(connection, &header, command).await.map(drop)
    }

    /// The user wants a profile again in this car.
    async fn provision(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), CallError> {
        let command = Ok(Command::Provision);
        self.call(connection, &header, command).await.map(drop)
    }

    /// Session, phase, link, card, journal, the last login.
    async fn get_status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Members, CallError> {
        let command = Ok(Command::Status);
        let answer = self.call(connection, &header, command).await?;
        Ok(values::members(&answer)?)
    }

    /// Operational profiles on the eUICC.
    async fn get_profiles(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<Members>, CallError> {
        let command = Ok(Command::Profiles);
        let answer = self.call(connection, &header, command).await?;
        let list = answer.as_array().map_or(&[][..], Vec::as_slice);
        let list: zbus::Result<Vec<_>> = list.iter().map(values::members).collect();
        Ok(list?)
    }

    /// APDUs and bytes since the start.
    async fn get_counters(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Members, CallError> {
        let command = Ok(Command::Counters);
        let answer = self.call(connection, &header, command).await?;
        Ok(values::members(&answer)?)
    }

    /// What the agent does and waits for.
    async fn get_work(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Members, CallError> {
        let command = Ok(Command::Work);
        let answer = self.call(connection, &header, command).await?;
        Ok(values::members(&answer)?)
    }

    /// The last value of each signal of the vehicle; signals without one are absent.
    async fn get_signals(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Members, CallError> {
        let command = Ok(Command::Signals);
        let answer = self.call(connection, &header, command).await?;
        Ok(values::members(&answer)?)
    }

    /// A signal of the vehicle has this value; names are those of COVESA's Vehicle Signal Specification.
    async fn set_signal(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
        name: String,
        value: OwnedVariant,
    ) -> Result<(), CallError> {
        // A value of another type is refused with what the signal expects.
        let value = values::scalar(&value).unwrap_or(Value::Null);
        let command = Ok(Command::Signal(name, value));
        self.call(connection, &header, command).await.map(drop)
    }

    /// Something happened; the members are those of the event in AID4, its time and its number among them.
    #[zbus(signal)]
    async fn event(emitter: &SignalEmitter<'_>, name: &str, members: Members) -> zbus::Result<()>;
}

/// Offers the service until the task is dropped.
pub(crate) async fn serve(bus: Bus, api: Api) {
    let mut backoff = Backoff::new();
    let mut is_known = false;
    loop {
        let error = match connect(&bus, &api).await {
            Ok(connection) => {
                tracing::info!("the D-Bus service {NAME} is there");
                (is_known, _) = (false, backoff.up(boot_clock::now()));
                match follow(&connection, &api).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut is_known, true) {
            tracing::warn!(%error, "no D-Bus service {NAME} at present; trying again");
        }
        let random = u64::from(std::process::id());
        let pause = backoff.down(boot_clock::now(), random);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn connect(bus: &Bus, api: &Api) -> zbus::Result<Connection> {
    let builder = match bus {
        Bus::Off => return std::future::pending().await,
        Bus::System => Builder::system(),
        Bus::Session => Builder::session(),
        Bus::Address(address) => Builder::address(address.as_str()),
    };
    let service = Service {
        api: api.clone(),
        places: Arc::new(Semaphore::new(CALLS)),
    };
    let built = builder.serve_at(PATH, service).name(NAME).build();
    let late = |_| zbus::Error::Failure("the bus does not answer".to_owned());
    tokio::time::timeout(PATIENCE, built).await.map_err(late)?
}

/// Sends events, the present state first, until the agent stops (`Ok`) or the bus goes.
async fn follow(connection: &Connection, api: &Api) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, PATH)?;
    let mut listener = Listener::new(api.clone());
    let gone = || zbus::Error::Failure("the bus closed the connection".to_owned());
    loop {
        tokio::select! {
            () = connection.closed() => return Err(gone()),
            told = listener.next() => {
                let Some(told) = told else { return Ok(()) };
                let event: Value = serde_json::from_str(&told.text).unwrap_or_default();
                let name = event["event"].as_str().unwrap_or_default().to_owned();
                Service::event(&emitter, &name, values::members(&event)?).await?;
            }
        }
    }
}
