//! What is done at the console, and who may do it.

use super::Desk;
use crate::operator::{Because, Refusal};
use aid_cmp_core::model::Role;
use aid_serve::console::Trouble;
use aid_serve::console::deed::{self, About, Asked, subject};
use std::sync::Arc;
use uuid::Uuid;

/// A deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    ClearVehicle,
    RetireVehicle,
    ExchangeVehicle,
    DeleteProfile,
    UnlockUser,
    EraseUser,
    WithdrawLink,
    ReplayOrder,
    CloseOrder,
    ReplayCall,
    DropCall,
}

use Deed as D;

impl deed::Deed<Desk> for Deed {
    const ALL: &'static [Self] = &[
        D::ClearVehicle,
        D::RetireVehicle,
        D::ExchangeVehicle,
        D::DeleteProfile,
        D::UnlockUser,
        D::EraseUser,
        D::WithdrawLink,
        D::ReplayOrder,
        D::CloseOrder,
        D::ReplayCall,
        D::DropCall,
    ];

    fn about(self) -> About<Role> {
        let about = |word, least, is_final, label, text, path| About {
            word,
            least,
            is_final,
            label,
            text,
            path,
            new: (self == D::ExchangeVehicle).then_some("EID of the new eUICC"),
        };
        let (operator, admin) = (Role::Operator, Role::Admin);
        match self {
            D::ClearVehicle => about(
                "clear-vehicle",
                operator,
                true,
                "Clear the vehicle",
                "The rental ended: its users are logged out, and its profiles are deleted.",
                "vehicles",
            ),
            D::RetireVehicle => about(
                "retire-vehicle",
                admin,
                true,
                "Retire the vehicle",
                "The vehicle is cut off now and for good: open orders are closed, and its profiles count as lost.",
                "vehicles",
            ),
            D::ExchangeVehicle => about(
                "exchange-vehicle",
                admin,
                true,
                "Exchange the unit",
                "The unit with the eUICC was exchanged: the old one is cut off for good, and the new one takes its place.",
                "vehicles",
            ),
            D::DeleteProfile => about(
                "delete-profile",
                operator,
                true,
                "Delete the profile",
                "The vehicle deletes the profile as soon as it has a connection.",
                "",
            ),
            D::UnlockUser => about(
                "unlock-user",
                operator,
                false,
                "Unlock the user",
                "What was counted of wrong passwords, PINs and codes is taken back; the user may try at once.",
                "users",
            ),
            D::EraseUser => about(
                "erase-user",
                admin,
                true,
                "Erase the user",
                "The user is forgotten: links end, profiles are deleted, name and secrets go at once.",
                "",
            ),
            D::WithdrawLink => about(
                "withdraw-link",
                admin,
                true,
                "End the link",
                "The link between the user and the MSP ends, and its profiles are deleted.",
                "",
            ),
            D::ReplayOrder => about(
                "replay-order",
                operator,
                false,
                "Give the order again",
                "The same order is given under a new name.",
                "orders",
            ),
            D::CloseOrder => about(
                "close-order",
                operator,
                true,
                "Close the order",
                "The order is closed without a result; the vehicle need not carry it out any more.",
                "orders",
            ),
            D::ReplayCall => about(
                "replay-call",
                operator,
                false,
                "Call now",
                "The call to the MSP is made now.",
                "calls",
            ),
            D::DropCall => about(
                "drop-call",
                operator,
                true,
                "Drop the call",
                "The call is closed without an answer; those behind it go on.",
                "calls",
            ),
        }
    }

    async fn act(self, desk: Arc<Desk>, asked: Asked) -> Result<String, Trouble> {
        let (id, reason) = (asked.id.as_str(), asked.reason);
        let operator = desk.operator(asked.who);
        let uuid = || {
            id.parse::<Uuid>()
                .map_err(|_| Refusal::unknown(format!("nothing is called {id:?}")))
        };
        let row = match self {
            D::ClearVehicle => {
                operator
                    .clear_vehicle(id, Because::RentalEnd, Some(reason))
                    .await
            }
            D::RetireVehicle => operator.retire_vehicle(id, reason).await,
            D::ExchangeVehicle => operator.exchange_vehicle(id, &asked.new, reason).await,
            D::DeleteProfile => operator.delete_profile(id, reason).await,
            D::UnlockUser => operator.unlock_user(id, reason).await,
            D::EraseUser => operator.erase_user(id, reason).await,
            D::WithdrawLink => operator.withdraw(uuid()?, reason).await,
            D::ReplayOrder => operator.replay_order(uuid()?, reason).await,
            D::CloseOrder => operator.close_order(uuid()?, reason).await,
            D::ReplayCall => operator.replay_call(uuid()?, reason).await,
            D::DropCall => operator.drop_call(uuid()?, reason).await,
        }?;
        // What came of it may have another name.
        let shown = match self {
            D::ReplayOrder => row["order"].as_str().unwrap_or(id),
            D::ExchangeVehicle => row["eid"].as_str().unwrap_or(id),
            _ => id,
        };
        let about = self.about();
        Ok(match (about.path, row["eid"].as_str()) {
            ("", Some(eid)) => format!("/console/vehicles/{eid}"),
            _ => subject(&about, shown),
        })
    }
}
