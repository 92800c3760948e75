//! Rows into our types, and identifiers into text. Whatever is in the database is checked again.
//! Used by `read` and `changes`.

use super::{StoreError, Stored};
use aid_aid1::phone::EncryptedPhone;
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallKind, CallState, CodeRequest, Federation,
    Happening, Hold, MspVerdict, NoticeKind, Onboarding, OnboardingState, Order, OrderState,
    PortalSession, Profile, ProfileStatus, RequestState, SyncRun, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Iccid, Id, Secret};
use aid_wire::{OrderKind, Status};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// The text of an id.
pub(super) fn id_text(id: Id) -> String {
    uuid::Uuid::from_bytes(id).hyphenated().to_string()
}

/// The word of a status of a report.
pub(super) fn status_text(status: Status) -> &'static str {
    ProfileStatus::from(status).as_str()
}

/// A row whose columns are read by name.
pub(super) struct Columns(pub(super) AnyRow);

fn unreadable(column: &str) -> StoreError {
    StoreError::Unreadable(format!("an odd value in the column {column}"))
}

impl Columns {
    pub(super) fn get<'r, T>(&'r self, column: &str) -> Stored<T>
    where
        T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        self.0.try_get(column).map_err(|_| unreadable(column))
    }

    pub(super) fn text(&self, column: &str) -> Stored<String> {
        self.get(column)
    }

    pub(super) fn maybe(&self, column: &str) -> Stored<Option<String>> {
        self.get(column)
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &str) -> Stored<T> {
        T::try_from(self.get::<i64>(column)?).map_err(|_| unreadable(column))
    }

    pub(super) fn maybe_number<T: TryFrom<i64>>(&self, column: &str) -> Stored<Option<T>> {
        self.get::<Option<i64>>(column)?
            .map(|n| T::try_from(n).map_err(|_| unreadable(column)))
            .transpose()
    }

    pub(super) fn parsed<T: FromStr>(&self, column: &str) -> Stored<T> {
        self.text(column)?.parse().map_err(|_| unreadable(column))
    }

    pub(super) fn maybe_parsed<T: FromStr>(&self, column: &str) -> Stored<Option<T>> {
        self.maybe(column)?
            .map(|text| text.parse().map_err(|_| unreadable(column)))
            .transpose()
    }

    pub(super) fn id(&self, column: &str) -> Stored<Id> {
        Ok(self.parsed::<uuid::Uuid>(column)?.into_bytes())
    }

    pub(super) fn maybe_account(&self, column: &str) -> Stored<Option<AccountRef>> {
        let id = self.maybe_parsed::<uuid::Uuid>(column)?;
        Ok(id.map(|id| AccountRef(id.into_bytes())))
    }

    pub(super) fn word<T>(&self, column: &str, read: fn(&str) -> Option<T>) -> Stored<T> {
        read(&self.text(column)?).ok_or_else(|| unreadable(column))
    }

    pub(super) fn vehicle(&self) -> Stored<Vehicle> {
        Ok(Vehicle {
            eid: self.parsed("eid")?,
            added_at: self.number("added_at")?,
            last_seen: self.maybe_number("last_seen")?,
            software: self.maybe("software")?,
            card: self.maybe("card")?,
            certificate: self.maybe("certificate")?,
            session: self.maybe_account("session")?,
            vin: self.maybe("vin")?,
            retired_at: self.maybe_number("retired_at")?,
            retired_reason: self.maybe("retired_reason")?,
            replaced_by: self.maybe_parsed("replaced_by")?,
        })
    }

    pub(super) fn notice(&self) -> Stored<UserNotice> {
        Ok(UserNotice {
            id: self.id("id")?,
            account: AccountRef(self.id("account")?),
            at: self.number("at")?,
            kind: self.word("kind", NoticeKind::from_text)?,
            detail: self.text("detail")?,
        })
    }

    pub(super) fn hold(&self) -> Stored<Hold> {
        Ok(Hold {
            federation: self.id("federation")?,
            eid: self.parsed("eid")?,
            since: self.number("since")?,
        })
    }

    pub(super) fn sync_run(&self) -> Stored<SyncRun> {
        Ok(SyncRun {
            id: self.id("id")?,
            federation: self.id("federation")?,
            at: self.number("at")?,
            outcome: self.text("outcome")?,
            findings: self.text("findings")?,
        })
    }

    pub(super) fn happening(&self) -> Stored<Happening> {
        Ok(Happening {
            work: self.id("work")?,
            at: self.number("at")?,
            event: self.text("event")?,
            detail: self.text("detail")?,
        })
    }

    pub(super) fn audit(&self) -> Stored<Audit> {
        Ok(Audit {
            at: self.number("at")?,
            actor: self.text("actor")?,
            action: self.text("action")?.into(),
            detail: self.text("detail")?,
            reason: self.maybe("reason")?,
        })
    }

    pub(super) fn account(&self) -> Stored<Account> {
        Ok(Account {
            id: AccountRef(self.id("id")?),
            name: self.text("name")?,
            display_name: self.text("display_name")?,
            password: Secret::new(self.text("password")?),
            pin_mac: self.maybe("pin_mac")?,
            created_at: self.number("created_at")?,
        })
    }

    pub(super) fn attempts(&self) -> Stored<Attempts> {
        let last = self.maybe_parsed::<uuid::Uuid>("last")?;
        Ok(Attempts {
            count: self.number("count")?,
            since: self.number("since")?,
            last: last.map(uuid::Uuid::into_bytes),
        })
    }

    pub(super) fn session(&self) -> Stored<PortalSession> {
        Ok(PortalSession {
            token_hash: self.text("token_hash")?,
            account: AccountRef(self.id("account")?),
            expires_at: self.number("expires_at")?,
        })
    }

    pub(super) fn onboarding(&self) -> Stored<Onboarding> {
        Ok(Onboarding {
            sid: self.id("sid")?,
            msp: self.text("msp")?,
            account: AccountRef(self.id("account")?),
            state: self.word("state", OnboardingState::from_text)?,
            return_state: self.text("return_state")?,
            token: self.maybe_parsed("token")?,
            error: self.maybe("error")?,
            created_at: self.number("created_at")?,
            expires_at: self.number("expires_at")?,
        })
    }

    pub(super) fn federation(&self) -> Stored<Federation> {
        Ok(Federation {
            id: self.id("id")?,
            msp: self.text("msp")?,
            token: self.parsed("token")?,
            account: AccountRef(self.id("account")?),
            phone: EncryptedPhone {
                phone_number: self.text("phone_number")?,
                iv: self.text("iv")?,
            },
            kind: self.parsed("subscription_type")?,
            customer_group: self.maybe("customer_group")?,
            since: self.number("since")?,
            ended_at: self.maybe_number("ended_at")?,
            ended_reason: self.maybe("ended_reason")?,
        })
    }

    pub(super) fn profile(&self) -> Stored<Profile> {
        Ok(Profile {
            iccid: self.parsed("iccid")?,
            federation: self.id("federation")?,
            eid: self.parsed("eid")?,
            status: self.word("state", ProfileStatus::from_text)?,
            verdict: self.word("msp_state", MspVerdict::from_text)?,
            last_used: self.number("last_used")?,
            created_at: self.number("created_at")?,
        })
    }

    pub(super) fn request(&self) -> Stored<CodeRequest> {
        Ok(CodeRequest {
            id: self.id("id")?,
            car_request: self.id("car_request")?,
            eid: self.parsed("eid")?,
            account: AccountRef(self.id("account")?),
            federation: self.id("federation")?,
            correlation: self.id("correlation")?,
            replace_iccid: self.maybe_parsed("replace_iccid")?,
            state: self.word("state", RequestState::from_text)?,
            code: self.maybe("code")?.map(Secret::new),
            iccid: self.maybe_parsed("iccid")?,
            swapped: self.maybe_parsed("swapped")?,
            error_code: self.maybe_number("error_code")?,
            error: self.maybe("error")?,
            created_at: self.number("created_at")?,
            expires_at: self.number("expires_at")?,
            delivered_at: self.maybe_number("delivered_at")?,
            changed_at: self.number("changed_at")?,
        })
    }

    pub(super) fn order(&self) -> Stored<Order> {
        let iccid = self.maybe_parsed::<Iccid>("iccid")?;
        let account = self.maybe_account("account")?;
        let kind = match (self.text("kind")?.as_str(), iccid, account) {
            ("delete", Some(iccid), _) => OrderKind::Delete { iccid },
            ("disable", Some(iccid), _) => OrderKind::Disable { iccid },
            ("logout", _, Some(account)) => OrderKind::Logout { account },
            ("delete-all", ..) => OrderKind::DeleteAll,
            ("erase", _, Some(account)) => OrderKind::Erase { account },
            _ => return Err(unreadable("kind")),
        };
        // Orders of before this column are transactions of their own.
        let correlation = self.maybe_parsed::<uuid::Uuid>("correlation")?;
        let id = self.id("id")?;
        Ok(Order {
            id,
            correlation: correlation.map_or(id, uuid::Uuid::into_bytes),
            eid: self.parsed("eid")?,
            kind,
            reason: self.text("reason")?,
            federation: self
                .maybe_parsed::<uuid::Uuid>("federation")?
                .map(uuid::Uuid::into_bytes),
            state: self.word("state", OrderState::from_text)?,
            code: self.maybe_number("code")?,
            attempts: self.number("attempts")?,
            created_at: self.number("created_at")?,
            sent_at: self.maybe_number("sent_at")?,
            closed_at: self.maybe_number("closed_at")?,
        })
    }

    pub(super) fn call(&self) -> Stored<Call> {
        Ok(Call {
            id: self.id("id")?,
            msp: self.text("msp")?,
            lane: self.text("lane")?,
            kind: self.word("kind", CallKind::from_text)?,
            token: self.parsed("token")?,
            correlation: self.id("correlation")?,
            body: self.text("body")?,
            attempts: self.number("attempts")?,
            next_at: self.number("next_at")?,
            state: self.word("state", CallState::from_text)?,
            last_error: self.maybe("last_error")?,
            created_at: self.number("created_at")?,
            closed_at: self.maybe_number("closed_at")?,
        })
    }

    pub(super) fn answered(&self) -> Stored<Answered> {
        Ok(Answered {
            client: self.text("client")?,
            request_id: self.id("request_id")?,
            digest: self.text("digest")?,
            status: self.number("status")?,
            body: self.text("body")?,
            at: self.number("at")?,
        })
    }
}
