# Texte der Seiten des Mobilfunkanbieters. Ein Satz ist eine Nachricht; beide Sprachen haben dieselben Namen.

sign-in = Anmelden
sign-out = Abmelden
sign-in-to = Bei { $msp } anmelden
user-name = Benutzername
password = Passwort
sign-in-why = Melden Sie sich an, um zu sehen, welche Autos Ihren Vertrag verwenden.
sign-in-for = { $cmp } möchte Ihr Auto mit Ihrem Mobilfunkvertrag verbinden. Melden Sie sich an, um zu sehen, was das bedeutet; noch ist nichts verbunden.
wrong-sign-in = Benutzername oder Passwort ist falsch.
locked = Zu viele Versuche. Bitte warten Sie fünf Minuten.
busy = Im Moment melden sich zu viele an. Bitte versuchen Sie es in einigen Sekunden wieder.
home = Meine Verträge
try-again = Noch einmal versuchen
to-home = Meine Verträge

## Ablehnungen
refused = Nicht möglich
refused-page = Diese Seite gibt es nicht.
refused-method = Das ist hier nicht möglich.
refused-expired = Diese Seite ist abgelaufen. Bitte beginnen Sie neu.
refused-form = Das Formular war nicht vollständig. Bitte gehen Sie zurück und versuchen Sie es noch einmal.
refused-unavailable = Das geht im Moment nicht. Bitte versuchen Sie es in einer Minute wieder.
refused-minute = Bitte versuchen Sie es in einer Minute wieder.
refused-link = Diese Verbindung haben Sie nicht.
refused-address = Die Adresse dieser Seite ist beschädigt. Bitte beginnen Sie im Portal Ihres Autos neu.
refused-missing = Diese Seite muss aus dem Portal Ihres Autos geöffnet werden: In ihrer Adresse fehlt etwas.
refused-sender = Das Portal, von dem Sie kommen, kennen wir nicht.
refused-brand = Diese Automarke wird hier nicht angeboten.
refused-not-begun = Das wurde nicht hier begonnen, oder vor zu langer Zeit. Bitte beginnen Sie auf der Seite Ihrer Verträge neu.
refused-decision = Bitte wählen Sie einen der beiden Knöpfe.
refused-invalid = Was das Portal des Autos geschickt hat, ist nicht gültig. Nichts wurde verbunden.
returned-aborted = Sie haben im Portal des Autos nicht zugestimmt. Nichts wurde verbunden.
returned-failed = Das Portal des Autos konnte es nicht tun. Nichts wurde verbunden; bitte versuchen Sie es später wieder.
down-title = { $cmp } antwortet nicht
down = { $cmp } ist im Moment nicht erreichbar. Nichts wurde verbunden. Ihr Vertrag ist nicht betroffen; bitte versuchen Sie es in einigen Minuten wieder.
down-pending = { $cmp } ist im Moment nicht erreichbar. Ihr Vertrag wird verbunden, sobald es wieder antwortet; Sie müssen nichts mehr tun.
down-back = Zurück zu { $cmp }

## Übersicht
signed-in-as = Sie sind angemeldet als { $user }.
subscriptions-none = Sie haben noch keinen Vertrag.
number = Nummer
kind = Art
kind-private = privat
kind-business = geschäftlich
kind-unknown = ohne Angabe
state = Zustand
state-active = aktiv
state-suspended = vorläufig gesperrt
state-ended = gekündigt
connected-none = Mit keiner Automarke verbunden.
connected-with = Verbunden mit
connection-active = verbunden
connection-pending = wartet auf das Portal des Autos
connection-refused = nicht verbunden
connection-ended = beendet
profiles-in-use = { $count ->
    [one] { $count } Profil in Gebrauch
   *[other] { $count } Profile in Gebrauch
}
profile-blocked = Profil { $iccid }, gesperrt
profile-ordered = Profil { $iccid }, bestellt
profile-in-car = Profil { $iccid }, in einem Auto
connections-ended = { $count ->
    [one] { $count } beendete Verbindung
   *[other] { $count } beendete Verbindungen
}
end-with = Verbindung mit { $cmp } beenden
connect-title = Mit einer Automarke verbinden
connect-with = Mit { $cmp } verbinden
connect-cost = Die Option für Autos
no-fee = Ohne Aufpreis
done-ended = Die Verbindung ist beendet. Ihre Profile sind vom Netz getrennt, und Ihre Autos löschen sie.
done-connected = Ihr Vertrag ist verbunden. Melden Sie sich in einem Auto dieser Marke an, um ihn zu verwenden.
done-pending = Das Portal des Autos antwortet gerade nicht. Ihr Vertrag wird verbunden, sobald es antwortet; diese Seite zeigt es.
done-denied = Sie haben nicht zugestimmt. Nichts wurde verbunden.
done-refused = Das Portal des Autos hat es nicht angenommen. Nichts wurde verbunden; bitte versuchen Sie es noch einmal.
end-title = Verbindung beenden
end-question = Möchten Sie die Verbindung mit { $cmp } beenden?
end-effect = Ihre Profile in den Autos werden sofort abgeschaltet und gelöscht, sobald jedes Auto eine Verbindung hat. Ihr Vertrag läuft weiter.
end-yes = Verbindung beenden
keep = Behalten

## Zustimmung
consent-title = Ihr Auto verbinden
consent-none = Keiner Ihrer Verträge kann in einem Auto verwendet werden. Bitte fragen Sie unseren Kundendienst.
go-back = Zurück
consent-question = Möchten Sie einen Vertrag mit Ihrem Konto bei { $cmp } verbinden?
check-code = Prüfcode
check-code-hint = Wenn { $cmp } Ihnen einen Prüfcode gezeigt hat, muss es dieser sein. Wenn es ein anderer war, oder wenn Sie nicht gerade von dort kommen, will jemand anderes Ihren Vertrag verwenden: Verbinden Sie nicht.
choose = Vertrag
sees-title = Was { $cmp } erfährt
sees-number = die Telefonnummer dieses Vertrags
sees-kind = ob er privat oder geschäftlich ist
sees-nothing = nichts über Ihren Vertrag, Ihre Rechnungen oder Ihre Gespräche
effect = { $cmp } kann ein Profil dieses Vertrags in jedes seiner Autos laden, in dem Sie sich anmelden. Sie können die Verbindung jederzeit beenden, hier oder bei { $cmp }.
cost-title = Was es kostet
cost-each = Der Preis steht bei jedem Vertrag. Er kommt auf Ihre Rechnung, solange die Verbindung besteht.
connect-yes = Verbinden
connect-no = Nicht verbinden
