//! Who is in the CMP's database before anything is measured: for each call a user with a car, a
//! subscription and a request whose code is still to come, and drivers who will log in.

use crate::site::Fleet;
use aid_aid1::agreed;
use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::EncryptedPhone;
use aid_cli::cli::Failure;
use aid_cmp::config::{File, MspFile, pin_key};
use aid_cmp::service::{fresh, now, random};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::code::WAIT_MS;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::{Account, CodeRequest, Federation, RequestState, Vehicle};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken, Secret};

/// PIN of every driver.
pub(crate) const PIN: &str = "271828";

/// A request whose code is still to come.
pub(in crate::figures) struct Waiting {
    pub(in crate::figures) token: MspToken,
    pub(in crate::figures) request: Id,
    pub(in crate::figures) correlation: Id,
    /// The profile that comes.
    pub(in crate::figures) iccid: Iccid,
}

/// A driver with a car that they have never been in, and one subscription.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    pub(crate) name: String,
    pub(crate) account: AccountRef,
    pub(crate) token: MspToken,
    pub(crate) phone: EncryptedPhone,
}

/// A user with one subscription, and their car.
struct Person {
    account: Account,
    federation: Federation,
    eid: Eid,
}

impl Person {
    fn new(config: &File, name: String, eid: Eid, number: u32) -> Result<Self, Failure> {
        let msp = first(config)?;
        let key = pin_key(&config.account_pin_key);
        let key = key.ok_or_else(|| Failure::new("the set-up's account_pin_key is none"))?;
        let phone_key = agreed::phone_key(&msp.phone_key).map_err(Failure::new)?;
        let id = AccountRef(fresh());
        let mut iv = [0; 12];
        iv[..4].copy_from_slice(&number.to_be_bytes());
        iv[4..].copy_from_slice(&eid.to_bcd()[4..12]);
        let phone = format!("49170{number:08}").parse()?;
        Ok(Self {
            account: Account {
                id,
                display_name: name.clone(),
                name,
                password: Secret::new("none".into()),
                pin_mac: Some(pin_mac(&key, id, PIN)),
                created_at: now(),
            },
            federation: Federation {
                id: fresh(),
                msp: msp.name.clone(),
                token: MspToken::from_bytes(random()),
                account: id,
                phone: phone_key.encrypt(&phone, iv)?,
                kind: SubscriptionType::Private,
                customer_group: None,
                since: now(),
                ended_at: None,
                ended_reason: None,
            },
            eid,
        })
    }

    fn changes(self) -> [Change; 3] {
        [
            Change::AddVehicle(Vehicle::new(self.eid, now())),
            Change::AddAccount(self.account),
            Change::AddFederation(self.federation),
        ]
    }
}

/// The MSP of the set-up.
pub(crate) fn first(config: &File) -> Result<&MspFile, Failure> {
    let none = || Failure::new("the set-up's cmp.toml has no [[msp]]");
    config.msp.first().ok_or_else(none)
}

/// So many requests that the MSP has answered with 201.
pub(in crate::figures) fn waiting(
    config: &File,
    count: usize,
) -> Result<(Vec<Waiting>, Vec<Change>), Failure> {
    let (mut list, mut changes) = (Vec::new(), Vec::new());
    for number in (0_u32..).take(count) {
        let eid = Eid::with_check_digits(&format!("89049033{number:022}"))?;
        let person = Person::new(config, format!("user-{number}"), eid, number)?;
        let request = open(&person);
        list.push(Waiting {
            token: person.federation.token,
            request: request.id,
            correlation: request.correlation,
            iccid: format!("8988{number:015}").parse()?,
        });
        changes.extend(person.changes());
        changes.push(Change::PutRequest(request));
    }
    Ok((list, changes))
}

/// A driver for each car of the fleet.
pub(crate) fn drivers(config: &File, fleet: &Fleet) -> Result<(Vec<Driver>, Vec<Change>), Failure> {
    let (mut list, mut changes) = (Vec::new(), Vec::new());
    for (number, car) in (0_u32..).zip(&fleet.vehicles) {
        let name = format!("driver-{number}");
        let person = Person::new(config, name.clone(), car.eid, number)?;
        list.push(Driver {
            name,
            account: person.account.id,
            token: person.federation.token,
            phone: person.federation.phone.clone(),
        });
        changes.extend(person.changes());
    }
    Ok((list, changes))
}

fn open(person: &Person) -> CodeRequest {
    CodeRequest {
        id: fresh(),
        car_request: fresh(),
        eid: person.eid,
        account: person.account.id,
        federation: person.federation.id,
        correlation: fresh(),
        replace_iccid: None,
        state: RequestState::Accepted,
        code: None,
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: now(),
        expires_at: now().saturating_add(WAIT_MS),
        delivered_at: None,
        changed_at: now(),
    }
}
