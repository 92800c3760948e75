# Texts of the MSP's touchpoint. A sentence is one message; both languages have the same ids (a test compares them).

sign-in = Sign in
sign-out = Sign out
sign-in-to = Sign in to { $msp }
user-name = User name
password = Password
sign-in-why = Sign in to see which cars use your subscription.
sign-in-for = { $cmp } wants to connect your car with your mobile subscription. Sign in to see what that means; nothing is connected yet.
wrong-sign-in = User name or password is wrong.
locked = Too many attempts. Please wait five minutes.
busy = Too many people sign in at the moment. Please try again in a few seconds.
home = My subscriptions
try-again = Try again
to-home = My subscriptions

## Refusals
refused = Not possible
refused-page = There is no such page.
refused-method = That is not possible here.
refused-expired = This page has expired. Please start again.
refused-form = The form was not complete. Please go back and try again.
refused-unavailable = This does not work at the moment. Please try again in a minute.
refused-minute = Please try again in a minute.
refused-link = You have no such connection.
refused-address = The address of this page is damaged. Please start again at your car's portal.
refused-missing = This page must be opened from your car's portal: something is missing in its address.
refused-sender = The portal that sent you here is not known to us.
refused-brand = That car brand is not offered here.
refused-not-begun = This was not begun here, or too long ago. Please start again on your account page.
refused-decision = Please choose one of the two buttons.
refused-invalid = What the car's portal sent is not valid. Nothing was connected.
returned-aborted = You did not agree at the car's portal. Nothing was connected.
returned-failed = The car's portal could not do it. Nothing was connected; please try again later.
down-title = { $cmp } does not answer
down = { $cmp } can't be reached at the moment. Nothing was connected. Your subscription is not affected; please try again in a few minutes.
down-pending = { $cmp } can't be reached at the moment. Your subscription is connected as soon as it answers; you need do nothing more.
down-back = Go back to { $cmp }

## Overview
signed-in-as = You are signed in as { $user }.
subscriptions-none = You have no subscription yet.
number = Number
kind = Kind
kind-private = private
kind-business = business
kind-unknown = no kind given
state = State
state-active = active
state-suspended = blocked for the time being
state-ended = cancelled
connected-none = Not connected with any car brand.
connected-with = Connected with
connection-active = connected
connection-pending = waiting for the car's portal
connection-refused = not connected
connection-ended = ended
profiles-in-use = { $count ->
    [one] { $count } profile in use
   *[other] { $count } profiles in use
}
profile-blocked = Profile { $iccid }, blocked
profile-ordered = Profile { $iccid }, ordered
profile-in-car = Profile { $iccid }, in a car
connections-ended = { $count ->
    [one] { $count } connection that has ended
   *[other] { $count } connections that have ended
}
end-with = End the connection with { $cmp }
connect-title = Connect with a car brand
connect-with = Connect with { $cmp }
connect-cost = The option for cars
no-fee = No extra fee
done-ended = The connection has ended. Its profiles are off the network, and your cars delete them.
done-connected = Your subscription is connected. Log in to a car of that brand to use it.
done-pending = The car's portal does not answer at present. Your subscription is connected as soon as it does; this page will show it.
done-denied = You did not agree. Nothing was connected.
done-refused = The car's portal did not accept it. Nothing was connected; please try again.
end-title = End a connection
end-question = Do you want to end the connection with { $cmp }?
end-effect = Your profiles in its cars are switched off at once, and deleted as soon as each car has a connection. Your subscription goes on.
end-yes = End the connection
keep = Keep it

## Consent
consent-title = Connect your car
consent-none = None of your subscriptions can be used in a car. Please ask our customer care.
go-back = Go back
consent-question = Do you want to connect a subscription with your account at { $cmp }?
check-code = Check code
check-code-hint = If { $cmp } showed you a check code, it must be this one. If it was another one, or if you did not come from there just now, somebody else wants to use your subscription: do not connect.
choose = Subscription
sees-title = What { $cmp } learns
sees-number = the phone number of this subscription
sees-kind = whether it is private or business
sees-nothing = nothing about your contract, your bills or your calls
effect = { $cmp } can load a profile of this subscription into each of its cars that you log in to. You can end the connection at any time, here or at { $cmp }.
cost-title = What it costs
cost-each = The fee of each subscription stands beside it. It is charged with your bill as long as the connection lasts.
connect-yes = Connect
connect-no = Do not connect
