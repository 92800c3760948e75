# Texts of the driver's portal. A sentence is one message; both languages have the same ids (a test compares them).

nav-home = Home
nav-cars = Cars
nav-subscriptions = Subscriptions
nav-settings = Settings
sign-in = Sign in
sign-out = Sign out
sign-in-with = Sign in with { $provider }
to-home = Home
to-settings = Settings
to-code = Log in to a car that shows a code
cancel = Cancel
keep = Keep it
stay = Stay logged in
details = Details
busy = Too many people sign in at the moment. Please try again in a few seconds.
locked = { $minutes ->
    [one] Too many attempts. Try again in { $minutes } minute.
   *[other] Too many attempts. Try again in { $minutes } minutes.
}

## Refusals
refused = Not possible
refused-unavailable = This does not work at the moment. Please try again later.
refused-form = The form was not complete. Please go back and fill it in again.
refused-address = The address is not complete.
refused-page = There is no such page.
refused-method = That is not possible here.
refused-character = The form has a character that is not allowed.
refused-size = The form was too large.
refused-way = The address is not usable.
refused-session = Your session has ended, so nothing was changed. Please sign in; then you can go on where you were.
session-over = Please sign in again
refused-old = The page was too old. Please load it again.
refused-car = You have no such car.
refused-not-in-car = You are not logged in to that car.
refused-profile = You have no such profile.
refused-again = You removed nothing in that car.
refused-subscription = You have no such subscription.
refused-operator = This operator is not offered.
refused-twice = This was begun already. Please start again on your page of subscriptions.
refused-sender = The page that sent you here is not known to us.
refused-decision = Please choose one of the two buttons.
refused-registration = Accounts are made by our customer care.
refused-provider = This way to sign in is not offered here.
refused-provider-down = The sign-in service can't be reached. Please try again later, or sign in with your password.
refused-not-begun = This sign-in was not begun in this browser, or too long ago. Please start again.
refused-at-provider = You did not sign in there. Nothing was changed.
refused-by-provider = What the sign-in service sent is not valid. You were not signed in; please try again.
openid-unknown = Nobody here signs in with this account of { $provider } yet. Sign in with your password, and add it under Settings.

## What was done
done-unlinked = The subscription is no longer linked. Its profiles are removed from your cars.
done-deleted = The profile is removed as soon as the car has a connection.
done-logged-out = You are logged out of that car. It ends your session as soon as it has a connection.
done-serves = Your choice is saved. It counts from the next login in a car.
done-again = The next login in that car loads your profile again.
done-password = Your password is changed. All other sessions have ended.
done-pin = Your PIN is changed.
done-preference = Your preferences are saved. Your cars know them.
done-sessions = All other sessions have ended.
done-session = That session has ended.
done-name = Your name is changed. Your cars know it.
done-car = The name of the car is saved.
done-identity = You can sign in that way from now on.
done-identity-removed = That way to sign in is removed.

## Home
home-title = Hello { $name }
home-cars = Your cars
next-title = Next step
next-link = Link your mobile subscription. Then it follows you into every car that you log in to.
next-log-in = Log in to a car: with your name and PIN, or with the code that the car shows. Your subscription is loaded into it.
next-loading = { $car } loads your subscription. This takes a minute or two; this page shows when it is done.
next-failed = { $car } did not get your subscription.
next-see-why = See why, and what to do
next-drive = You are all set: { $car } uses your subscription. Have a good drive.
notice-unlinked = The operator ended the link of a subscription.
notice-suspended = The operator has blocked a profile for the time being.
notice-resumed = The operator has lifted the block of a profile.
notice-invalid = The operator declared a profile dead. It is removed from its car.
notice-card-full = A profile made place for another user's in a car.
notice-car-cleared = The profiles of a car were removed.
notice-doubtful = The operator does not recognise the link of a subscription any more. We are asking.
notice-read = I have read it

## Cars
car = Car
car-unnamed = Car …{ $end }
car-ends = Number ends with { $end }
car-online = Online
car-last-seen = Last seen { $when }
car-never-seen = Never connected
car-logged-in = You are logged in to this car.
car-empty = No subscription of yours is in this car.
car-subscription = Subscription in this car
car-session = Your session
car-log-out = Log out of this car
car-log-out-of = Log out of { $car }
car-name-title = Name of the car
car-name = Name
car-name-hint = Only you see it, such as "The blue one". Leave it empty for none.
save-name = Save the name
wrong-car-name = A name has at most 64 characters, and you can name 100 cars.
cars-none = You have no car yet. Log in to one: with your name and PIN, or with the code that it shows.
cars-other = { $count ->
    [one] { $count } other car that you were in
   *[other] { $count } other cars that you were in
}
vin = Vehicle number
profile-number = Profile
software = Software
last-message = Last message
state = State
subscription = Subscription
state-loading = Being loaded
state-ready = Ready
state-in-use = In use
state-blocked = Blocked by the operator
state-removal = Removal ordered
state-removing = Being removed
state-removed = Removed
state-held = Removed by you
state-failed = Could not be loaded
state-lost = Gone with the car's old unit
state-present = In the car
pending-removal = Removal waits for the car, ordered { $when }
pending-removal-online = The car removes the profile, ordered { $when }
pending-logout = Log-out waits for the car, ordered { $when }
pending-profile = The operator prepares your profile, asked { $when }
held = You removed it. It is not loaded again at your next login, unless you say so.
load-again = Load { $operator } again at the next login
failed-again = The next login in this car tries it again.
link-ended = the link has ended
remove-profile = Remove { $operator } from this car
delete-title = Confirm: remove a profile
delete-question = Please confirm: remove this profile from its car?
delete-soon = The car is online and removes it at once. Your contract goes on.
delete-later = The car is not connected. It removes the profile as soon as it is. Your contract goes on.
delete-yes = Remove it
log-out-title = Confirm: log out of a car
log-out-question = Please confirm: log out of { $car }?
log-out-soon = The car is online and ends your session at once. Your profile stays in it for your next login.
log-out-later = The car is not connected. It ends your session as soon as it is. Your profile stays in it for your next login.
failure-title = No profile came
failure-silent = { $operator } did not answer in time. Log out of the car and in again to try it once more.
failure-link = { $operator } does not recognise the link with your account any more. Unlink the subscription and link it again.
failure-code = { $operator } sent something that can't be used. Try again later, or ask { $operator }.
failure-type = { $operator } has no profile for this kind of car. Ask { $operator } what can be done.
failure-none = { $operator } has no profile for this subscription right now. Try again later, or ask { $operator }.
failure-theirs = { $operator } has a disturbance. Log out of the car and in again later to try it once more.
failure-other = { $operator } gave no profile. Try again later, or ask { $operator }.
failure-words = The operator said: { $reason }
failure-code-number = code { $code }

## Subscriptions
subscriptions-none = No subscription is linked yet.
number = Number
kind = Kind
kind-private = private
kind-business = business
kind-unknown = not said
linked-since = Linked since
in-cars = In cars
in-no-car = In no car yet. Log in to a car, and it is loaded.
in-cars-count = { $count ->
    [one] In { $count } car
   *[other] In { $count } cars
}
serves = Serves you in cars
use-this = Use { $operator } in cars
unlink-operator = Unlink { $operator }
contract-goes-on = Unlinking removes the profiles from your cars. Your contract with the operator goes on; it can be cancelled at the operator only.
link-title = Link a subscription
link-another = You can link several; you choose which one serves you in cars.
link-none = No operator is offered at present.
link-operator = Link { $operator }
links-ended = { $count ->
    [one] { $count } link that has ended
   *[other] { $count } links that have ended
}
link-ended-at = This link has ended, { $when }.
link-ended-rest = { $count ->
    [one] { $count } profile still waits for its car to remove it.
   *[other] { $count } profiles still wait for their cars to remove them.
}
unlink-title = Confirm: unlink
unlink-question = Please confirm: end the link with { $operator }, number { $number }?
unlink-effect = Its profiles are removed from your cars, each as soon as the car has a connection.
unlink-yes = Unlink
link-page-title = Link a subscription
link-question = You will go to { $operator }, sign in there, and choose a subscription. It will be linked with this account:
link-go = Go to { $operator }
not-now = Not now
account = Account
check-code = Check code
check-code-hint = { $operator } shows a check code, too: it must be this one. Go on there only if you began this here yourself.
operator-asks = The operator asks: { $question }
wrong-ver = What the operator asks about you is missing, or has not the form that it wants.
linked-title = Linked
linked = Your subscription is linked. Log in to a car to use it.
linked-not-title = Not linked
linked-aborted = You did not agree. Nothing was linked.
linked-failed = The operator did not link the subscription. Please try again or ask the operator.
linked-unknown = This was not begun here. Please begin on your page of subscriptions.
linked-open-title = Not linked yet
linked-open = The operator has not told us yet. Please look again in a minute.
look-again = Look again
return-title = Link with { $operator }
return-question = { $operator } wants to link your subscription there with this account:
return-warning = Agree only if you began this yourself, at { $operator }, just now.
return-yes = Agree and go back to { $operator }
return-no = Do not agree

## Code of a car
code = Code
code-title = Log in to a car
code-hint = Letters and digits as the car shows them; the dash does not matter.
code-only-yours = Type the code that the car shows. Do this only for a car that you are in.
code-go-on = Go on
wrong-code = No car shows this code now. Please look again, or let the car show a new one.
code-locked = { $minutes ->
    [one] Too many wrong codes. Try again in { $minutes } minute.
   *[other] Too many wrong codes. Try again in { $minutes } minutes.
}
confirm-title = Confirm the login
confirm-question = Please confirm: log in { $name } to this car?
confirm-asked = Asked
confirm-warning = If somebody gave you this code, or you are not in the car, say no. You can log out of a car on its page at any time.
confirm-yes = Log me in
confirm-no = No
approved-title = Logged in
approved = The car was told. You are logged in there in a moment.
denied-title = Not logged in
denied = The car was told no. If you did not stand before it, somebody else had typed your code.

## Signing in
sign-in-name = Name
password = Password
wrong-sign-in = Name or password is wrong.
register = Make an account
register-yes = Make the account
register-have = I have one already
register-name = Name to sign in with
register-name-hint = For these pages and for cars; capital and small letters are the same.
register-full = Too many accounts are being made at the moment. Please try again later.
leave = Go back without signing in
welcome-title = Welcome
welcome = Your account is there. Please sign in.
goodbye-title = Goodbye
goodbye = Your account is deleted. Your cars forget you as soon as each has a connection.
forgotten = Forgotten your password?
forgotten-title = Forgotten your password?
forgotten-how = Ask our customer care. They check who you are and set a new password, which ends all your sessions. Your subscriptions and cars stay as they are.

## Settings
settings-name = Name
settings-preferences = Preferences in cars
settings-pin = PIN for cars
settings-password = Password
settings-sessions = Where you are signed in
settings-export = Copy of your data
settings-delete = Delete the account
change-name = Change the name
change-preferences = Change the preferences
change-pin = Change the PIN
change-password = Change the password
change-sessions = Change where you are signed in
shown-name = What your cars call you
shown-name-hint = At most 64 characters.
password-hint = At least 8 characters.
password-there = You sign in with a password.
password-effect = All your other sessions end.
present-password = Present password
new-password = New password
new-password-again = New password again
pin-there = You have a PIN.
pin-none = You have no PIN: cars log you in with a code only.
pin-hint = 4 to 16 digits; empty for none.
new-pin = New PIN
wrong-present-password = Your present password is wrong.
wrong-passwords-differ = The two new passwords differ.
wrong-password-length = A password has 8 to 256 characters.
wrong-password-unusable = This password can't be used.
wrong-pin = A PIN has 4 to 16 digits.
wrong-name = A name has 1 to 64 printable characters.
wrong-name-taken = This name is taken.
wrong-own-name = That is not your name to sign in with.
wrong-account-gone = This account was deleted.
wrong-preference = A preference has a name of lower-case letters, digits, dots and dashes, and a value of one line.
wrong-preferences = You have as many preferences as there may be. Remove one first.
wrong-identity-taken = Somebody else signs in with that account already.
wrong-identities = You have as many ways to sign in as there may be. Remove one first.
wrong-last-way-in = That is your only way to sign in. Ask our customer care for a password first.
preferences-none = You have set nothing: each car does as it likes.
preferences-hint = Every car that you log in to gets these; what it makes of them is the car's.
preferences-more = Other preferences
preference-name = Name
preference-name-hint = Lower-case letters, digits, dots and dashes, such as seat.height.
preference-value = Value
save-preferences = Save the preferences
save-preference = Save this preference
remove-preference = Remove { $name }
pref-none = As the car likes
pref-language = Language
pref-language-en = English
pref-language-de = German
pref-units = Units
pref-units-metric = Kilometres, °C
pref-units-imperial = Miles, °F
pref-climate-temperature = Temperature, °C
pref-seat-position = Seat
pref-seat-position-1 = 1 – far forward
pref-seat-position-2 = 2 – forward
pref-seat-position-3 = 3 – middle
pref-seat-position-4 = 4 – back
pref-seat-position-5 = 5 – far back
pref-mirrors-fold = Fold mirrors when parked
pref-mirrors-fold-on = Yes
pref-mirrors-fold-off = No
sessions-count = { $count ->
    [one] In { $count } browser.
   *[other] In { $count } browsers.
}
sessions-hint = End a session that you do not recognise, and change your password then.
session-this = this one
session-since = Since { $when }
session-end = End the session of { $browser }
sessions-end-others = End all other sessions
browser-on = { $browser } on { $system }
browser-unknown = a browser without a name
identities-none = You can sign in with your account of { $provider }, beside your password.
identity-since = Added { $when }
identity-add = Add { $provider }
identity-remove = Remove { $provider }
export = Download a copy
export-hint = Everything that we keep about you, as a file (JSON).
own-name = Your name to sign in with
delete-account = Delete my account
delete-account-hint = All links end, and your cars forget you.
delete-account-warning = This can't be undone.
delete-account-links = All your subscriptions are unlinked, and their profiles are removed from your cars.
delete-account-cars = Your cars forget you, each as soon as it has a connection.
delete-account-contract = Your contracts with operators go on; they can be cancelled at the operators only.
delete-account-export = Download a copy of your data first
