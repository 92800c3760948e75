//! Profile Policy Rules against the card's Rules Authorisation Table.
//! SGP.22 §2.9.2, §3.1.3 step 2 (LPA's check).

use aid_rsp::es10::{GetRatResponse, OperatorId};

/// Whether the user has to agree to these rules of a profile of this operator; `None` where the table does not allow one
/// of them. A rule that several entries allow needs consent when all of them ask for it.
pub(crate) fn consent(
    rat: &GetRatResponse,
    rules: u32,
    owner: Option<&OperatorId>,
) -> Option<bool> {
    let bits = (0..32).map(|bit| 1u32 << bit);
    let mut needed = false;
    for bit in bits.filter(|b| rules & b != 0 && *b != aid_rsp::es10::ppr::UPDATE_CONTROL) {
        let for_owner = |operators: &[OperatorId]| {
            operators
                .iter()
                .any(|o| owner.is_some_and(|p| matches(o, p)))
        };
        let entries = rat.rules.iter();
        let allowing =
            entries.filter(|(pprs, operators, _)| pprs & bit != 0 && for_owner(operators));
        let mut asks = allowing.map(|(_, _, consent)| *consent).peekable();
        asks.peek()?;
        needed |= asks.all(|asks| asks);
    }
    Some(needed)
}

/// A digit E is a wildcard (§2.9.2.1); gid1 and gid2 must match where the entry has them.
fn matches(entry: &OperatorId, owner: &OperatorId) -> bool {
    let digits = |code: &[u8; 3]| code.map(|b| [b & 15, b >> 4]).concat();
    let codes = digits(&entry.mcc_mnc)
        .into_iter()
        .zip(digits(&owner.mcc_mnc))
        .all(|(allowed, got)| allowed == 0xE || allowed == got);
    let gid = |allowed: &Option<Vec<u8>>, got: &Option<Vec<u8>>| match allowed {
        None => true,
        Some(allowed) => Some(allowed) == got.as_ref() || allowed.is_empty() && got.is_some(),
    };
    codes && gid(&entry.gid1, &owner.gid1) && gid(&entry.gid2, &owner.gid2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_rsp::es10::ppr::{PPR1, PPR2};

    fn operator(mcc_mnc: [u8; 3]) -> OperatorId {
        OperatorId {
            mcc_mnc,
            gid1: None,
            gid2: None,
        }
    }

    #[test]
    fn every_rule_needs_an_entry_for_the_operator() {
        let rat = GetRatResponse {
            rules: vec![
                (PPR1, vec![operator([0x62, 0xF2, 0x10])], false),
                (PPR2, vec![operator([0xEE; 3])], true),
            ],
        };
        let (ours, other) = (operator([0x62, 0xF2, 0x10]), operator([0x00, 0xF1, 0x10]));
        assert_eq!(consent(&rat, PPR1, Some(&ours)), Some(false));
        assert_eq!(consent(&rat, PPR1 | PPR2, Some(&ours)), Some(true));
        assert_eq!(consent(&rat, PPR2, Some(&other)), Some(true));
        assert_eq!(consent(&rat, PPR1, Some(&other)), None);
        assert_eq!(consent(&rat, PPR1 | PPR2, Some(&other)), None);
        let nobody = consent(&rat, PPR2, None);
        assert_eq!(nobody, None, "a rule without an operator is nobody's");
        assert_eq!(consent(&GetRatResponse::default(), PPR2, Some(&ours)), None);
        assert_eq!(consent(&GetRatResponse::default(), 0, None), Some(false));
    }
}
