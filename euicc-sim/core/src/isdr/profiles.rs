//! ES10c: enable, disable, delete, rename, reset; the rules for test profiles.
//! SGP.22 §5.7.16 to §5.7.21, SGP.21 TPRO8 to TPRO10.

use super::Outcome;
use super::notification::Notice;
use crate::card::{Card, Profile, State, Switch};
use crate::nvm::{Nvm, Write};
use aid_rsp::es10::{
    DataObject, DeleteProfileRequest, DeleteProfileResponse, DeleteResult, DisableProfileRequest,
    DisableProfileResponse, DisableResult, EnableProfileRequest, EnableProfileResponse,
    EnableResult, EuiccMemoryResetRequest, EuiccMemoryResetResponse, NotificationEvent,
    ProfileClass, ResetResult, SetNicknameRequest, SetNicknameResponse, SetNicknameResult, ppr,
    reset_options,
};
use alloc::vec::Vec;

impl<N: Nvm> Card<N> {
    pub(super) fn enable_profile(&mut self, request: &EnableProfileRequest) -> Outcome {
        let result = self.enable(request);
        let result = self.or_undefined(result, EnableResult::UndefinedError)?;
        Ok(EnableProfileResponse { result }.to_vec())
    }

    fn enable(&mut self, request: &EnableProfileRequest) -> Result<EnableResult, u16> {
        if self.cat_busy() {
            return Ok(EnableResult::CatBusy);
        }
        let state = self.store.state();
        let Some(position) = state.position(&request.profile) else {
            return Ok(EnableResult::NotFound);
        };
        if state.profiles[position].enabled {
            return Ok(EnableResult::NotInDisabledState);
        }
        let target = &state.profiles[position];
        // A test profile may take anybody's place (TPRO8); afterwards it is the turn of the profile
        // whose place it took.
        if target.class() != ProfileClass::Test {
            let wrong = state.suspended.is_some_and(|slot| slot != target.slot);
            if state.testing() && wrong {
                return Ok(EnableResult::WrongProfileReenabling);
            }
            if !state.testing() && state.undisableable() {
                return Ok(EnableResult::DisallowedByPolicy);
            }
        }
        let slot = target.slot;
        self.begin_switch(Switch::Enable(slot), request.refresh)?;
        Ok(EnableResult::Ok)
    }

    pub(super) fn disable_profile(&mut self, request: &DisableProfileRequest) -> Outcome {
        let result = self.disable(request);
        let result = self.or_undefined(result, DisableResult::UndefinedError)?;
        Ok(DisableProfileResponse { result }.to_vec())
    }

    fn disable(&mut self, request: &DisableProfileRequest) -> Result<DisableResult, u16> {
        if self.cat_busy() {
            return Ok(DisableResult::CatBusy);
        }
        let state = self.store.state();
        let Some(position) = state.position(&request.profile) else {
            return Ok(DisableResult::NotFound);
        };
        let profile = &state.profiles[position];
        if !profile.enabled {
            return Ok(DisableResult::NotInEnabledState);
        }
        if profile.has_rule(ppr::PPR1) {
            return Ok(DisableResult::DisallowedByPolicy);
        }
        // The profile whose place a test profile took comes back (TPRO10).
        let back = state.suspended.filter(|_| state.testing());
        let switch = back.map_or(Switch::Disable, Switch::Enable);
        self.begin_switch(switch, request.refresh)?;
        Ok(DisableResult::Ok)
    }

    /// With refreshFlag the switch is stored and waits for the terminal, if there is one that knows
    /// REFRESH; otherwise it happens at once (see [`crate::card`]).
    fn begin_switch(&mut self, switch: Switch, refresh: bool) -> Result<(), u16> {
        if !(refresh && self.can_refresh()) {
            return self.switch(switch);
        }
        let next = State {
            switch: Some(switch),
            ..self.store.state().clone()
        };
        self.commit(next, &[])?;
        self.offer_refresh();
        Ok(())
    }

    /// Does the switch that waits, if there is one: after the REFRESH, after a reset.
    pub(crate) fn settle_switch(&mut self) -> Result<(), u16> {
        match self.store.state().switch {
            Some(switch) => self.switch(switch),
            None => Ok(()),
        }
    }

    /// Switches in one batch, with the notifications of both profiles.
    fn switch(&mut self, switch: Switch) -> Result<(), u16> {
        let state = self.store.state();
        let mut next = state.clone();
        next.switch = None;
        let target = match switch {
            Switch::Disable => None,
            // A profile that was deleted meanwhile leaves things as they are.
            Switch::Enable(slot) => match state.profiles.iter().find(|p| p.slot == slot) {
                Some(profile) => Some(profile),
                None => return self.commit(next, &[]),
            },
        };
        let mut notices = Vec::new();
        // The old profile's notifications come first, as it is disabled first.
        for profile in state.profiles.iter().filter(|p| p.enabled) {
            self.notices(&mut next, NotificationEvent::Disable, profile, &mut notices)?;
        }
        if let Some(profile) = target {
            self.notices(&mut next, NotificationEvent::Enable, profile, &mut notices)?;
        }
        next.suspended = match (state.enabled(), target) {
            (_, Some(target)) if target.class() != ProfileClass::Test => None,
            (_, None) => None,
            (Some(old), _) if old.class() != ProfileClass::Test => Some(old.slot),
            _ => next.suspended,
        };
        let slot = target.map(|p| p.slot);
        for profile in &mut next.profiles {
            profile.enabled = Some(profile.slot) == slot;
        }
        self.commit_with(next, &notices, &[])
    }

    pub(super) fn delete_profile(&mut self, request: &DeleteProfileRequest) -> Outcome {
        let result = self.delete(request);
        let result = self.or_undefined(result, DeleteResult::UndefinedError)?;
        Ok(DeleteProfileResponse { result }.to_vec())
    }

    fn delete(&mut self, request: &DeleteProfileRequest) -> Result<DeleteResult, u16> {
        let state = self.store.state();
        let Some(position) = state.position(&request.profile) else {
            return Ok(DeleteResult::NotFound);
        };
        let profile = &state.profiles[position];
        if profile.enabled {
            return Ok(DeleteResult::NotInDisabledState);
        }
        if profile.has_rule(ppr::PPR2) {
            return Ok(DeleteResult::DisallowedByPolicy);
        }
        let next = state.clone();
        self.remove(next, &[position])?;
        Ok(DeleteResult::Ok)
    }

    /// Removes profiles with everything that belongs to them, in one batch.
    fn remove(&mut self, mut next: State, positions: &[usize]) -> Result<(), u16> {
        let state = self.store.state();
        let mut notices = Vec::new();
        let mut slots = Vec::new();
        for profile in positions.iter().filter_map(|at| state.profiles.get(*at)) {
            self.notices(&mut next, NotificationEvent::Delete, profile, &mut notices)?;
            slots.push(profile.slot);
        }
        next.profiles.retain(|p| !slots.contains(&p.slot));
        next.suspended = next.suspended.filter(|slot| !slots.contains(slot));
        if state.testing() && next.enabled().is_none() {
            self.resume(&mut next, &mut notices)?;
        }
        let mut writes: Vec<Write<'static>> = Vec::new();
        for slot in slots {
            match self.store.removal(slot) {
                Ok(removal) => writes.extend(removal),
                Err(error) => return Err(self.memory_failed(&error)),
            }
        }
        self.commit_with(next, &notices, &writes)
    }

    /// Enables the profile whose place a test profile had taken, when that one is gone.
    fn resume(&self, next: &mut State, notices: &mut Vec<Notice>) -> Result<(), u16> {
        let Some(slot) = next.suspended.take() else {
            return Ok(());
        };
        let profile = next.profiles.iter_mut().find(|p| p.slot == slot);
        if let Some(profile) = profile {
            profile.enabled = true;
            let profile = profile.clone();
            self.notices(next, NotificationEvent::Enable, &profile, notices)?;
        }
        Ok(())
    }

    /// Deletes whatever the options name, an enabled profile and PPR2 notwithstanding (§5.7.19).
    /// When the enabled profile goes, the terminal is asked to REFRESH.
    pub(super) fn memory_reset(&mut self, request: &EuiccMemoryResetRequest) -> Outcome {
        let result = self.reset_memory(request);
        let result = self.or_undefined(result, ResetResult::UndefinedError)?;
        Ok(EuiccMemoryResetResponse { result }.to_vec())
    }

    fn reset_memory(&mut self, request: &EuiccMemoryResetRequest) -> Result<ResetResult, u16> {
        if self.cat_busy() {
            return Ok(ResetResult::CatBusy);
        }
        let options = request.options;
        let wanted = |p: &Profile| match p.class() {
            ProfileClass::Test => options & reset_options::DELETE_FIELD_LOADED_TEST_PROFILES != 0,
            ProfileClass::Operational => options & reset_options::DELETE_OPERATIONAL_PROFILES != 0,
            ProfileClass::Provisioning => false,
        };
        let state = self.store.state();
        let address = options & reset_options::RESET_DEFAULT_SMDP_ADDRESS != 0
            && !state.default_dp.is_empty();
        let positions: Vec<usize> = state
            .profiles
            .iter()
            .enumerate()
            .filter(|(_, p)| wanted(p))
            .map(|(at, _)| at)
            .collect();
        if positions.is_empty() && !address {
            return Ok(ResetResult::NothingToDelete);
        }
        let enabled = positions.iter().any(|at| state.profiles[*at].enabled);
        let mut next = state.clone();
        if address {
            next.default_dp.clear();
        }
        self.remove(next, &positions)?;
        if enabled {
            self.offer_refresh();
        }
        Ok(ResetResult::Ok)
    }

    pub(super) fn set_nickname(&mut self, request: &SetNicknameRequest) -> Outcome {
        let result = self.rename(request);
        let result = self.or_undefined(result, SetNicknameResult::UndefinedError)?;
        Ok(SetNicknameResponse { result }.to_vec())
    }

    fn rename(&mut self, request: &SetNicknameRequest) -> Result<SetNicknameResult, u16> {
        let mut next = self.store.state().clone();
        let mut profiles = next.profiles.iter_mut();
        let Some(profile) = profiles.find(|p| p.iccid() == request.iccid) else {
            return Ok(SetNicknameResult::IccidNotFound);
        };
        let name = &request.nickname;
        profile.nickname = (!name.is_empty()).then(|| name.clone());
        self.commit(next, &[])?;
        Ok(SetNicknameResult::Ok)
    }
}
