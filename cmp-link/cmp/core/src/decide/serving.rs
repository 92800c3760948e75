//! Which of a user's subscriptions serves in a car. AID.02 leaves it open (R-4.3-5): the one that the user
//! chose for this car, else the one chosen for all, else the oldest.

use crate::model::Federation;
use aid_id::Id;

/// The serving one of the active federations, oldest first. A choice that ended counts no more.
#[must_use]
pub fn choose(
    active: &[Federation],
    here: Option<Id>,
    everywhere: Option<Id>,
) -> Option<&Federation> {
    let chosen = |id: Id| active.iter().find(|f| f.id == id && f.ended_at.is_none());
    here.and_then(chosen)
        .or_else(|| everywhere.and_then(chosen))
        .or_else(|| active.iter().find(|f| f.ended_at.is_none()))
}
