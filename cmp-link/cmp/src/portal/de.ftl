# Texte des Portals für Fahrerinnen und Fahrer. Ein Satz ist eine Nachricht; beide Sprachen haben dieselben Namen.

nav-home = Start
nav-cars = Autos
nav-subscriptions = Verträge
nav-settings = Einstellungen
sign-in = Anmelden
sign-out = Abmelden
sign-in-with = Mit { $provider } anmelden
to-home = Start
to-settings = Einstellungen
to-code = In einem Auto anmelden, das einen Code zeigt
cancel = Abbrechen
keep = Behalten
stay = Angemeldet bleiben
details = Einzelheiten
busy = Im Moment melden sich zu viele an. Bitte versuchen Sie es in einigen Sekunden wieder.
locked = { $minutes ->
    [one] Zu viele Versuche. Versuchen Sie es in { $minutes } Minute wieder.
   *[other] Zu viele Versuche. Versuchen Sie es in { $minutes } Minuten wieder.
}

## Ablehnungen
refused = Nicht möglich
refused-unavailable = Das geht im Moment nicht. Bitte versuchen Sie es später wieder.
refused-form = Das Formular war nicht vollständig. Bitte gehen Sie zurück und füllen Sie es noch einmal aus.
refused-address = Die Adresse ist nicht vollständig.
refused-page = Diese Seite gibt es nicht.
refused-method = Das ist hier nicht möglich.
refused-character = Das Formular enthält ein Zeichen, das nicht erlaubt ist.
refused-size = Das Formular war zu groß.
refused-way = Die Adresse ist nicht verwendbar.
refused-session = Ihre Sitzung ist zu Ende, deshalb wurde nichts geändert. Bitte melden Sie sich an; danach machen Sie dort weiter, wo Sie waren.
session-over = Bitte melden Sie sich noch einmal an
refused-old = Die Seite war zu alt. Bitte laden Sie sie neu.
refused-car = Dieses Auto haben Sie nicht.
refused-not-in-car = In diesem Auto sind Sie nicht angemeldet.
refused-profile = Dieses Profil haben Sie nicht.
refused-again = In diesem Auto haben Sie nichts entfernt.
refused-subscription = Diesen Vertrag haben Sie nicht.
refused-operator = Dieser Anbieter wird nicht angeboten.
refused-twice = Das wurde schon begonnen. Bitte beginnen Sie auf der Seite Ihrer Verträge neu.
refused-sender = Die Seite, von der Sie kommen, kennen wir nicht.
refused-decision = Bitte wählen Sie einen der beiden Knöpfe.
refused-registration = Konten legt unser Kundendienst an.
refused-provider = Diese Art der Anmeldung wird hier nicht angeboten.
refused-provider-down = Der Anmeldedienst ist nicht erreichbar. Bitte versuchen Sie es später wieder, oder melden Sie sich mit Ihrem Passwort an.
refused-not-begun = Diese Anmeldung wurde nicht in diesem Browser begonnen, oder vor zu langer Zeit. Bitte beginnen Sie neu.
refused-at-provider = Sie haben sich dort nicht angemeldet. Nichts wurde geändert.
refused-by-provider = Was der Anmeldedienst geschickt hat, ist nicht gültig. Sie wurden nicht angemeldet; bitte versuchen Sie es noch einmal.
openid-unknown = Mit diesem Konto von { $provider } meldet sich hier noch niemand an. Melden Sie sich mit Ihrem Passwort an, und fügen Sie es unter Einstellungen hinzu.

## Was getan wurde
done-unlinked = Der Vertrag ist nicht mehr verknüpft. Seine Profile werden aus Ihren Autos entfernt.
done-deleted = Das Profil wird entfernt, sobald das Auto eine Verbindung hat.
done-logged-out = Sie sind in diesem Auto abgemeldet. Es beendet Ihre Sitzung, sobald es eine Verbindung hat.
done-serves = Ihre Wahl ist gespeichert. Sie gilt ab der nächsten Anmeldung in einem Auto.
done-again = Die nächste Anmeldung in diesem Auto lädt Ihr Profil wieder.
done-password = Ihr Passwort ist geändert. Alle anderen Sitzungen sind beendet.
done-pin = Ihre PIN ist geändert.
done-preference = Ihre Vorlieben sind gespeichert. Ihre Autos kennen sie.
done-sessions = Alle anderen Sitzungen sind beendet.
done-session = Diese Sitzung ist beendet.
done-name = Ihr Name ist geändert. Ihre Autos kennen ihn.
done-car = Der Name des Autos ist gespeichert.
done-identity = Sie können sich ab jetzt auch so anmelden.
done-identity-removed = Diese Art der Anmeldung ist entfernt.

## Start
home-title = Hallo { $name }
home-cars = Ihre Autos
next-title = Nächster Schritt
next-link = Verknüpfen Sie Ihren Mobilfunkvertrag. Dann kommt er in jedes Auto mit, in dem Sie sich anmelden.
next-log-in = Melden Sie sich in einem Auto an: mit Namen und PIN, oder mit dem Code, den das Auto zeigt. Ihr Vertrag wird dann hineingeladen.
next-loading = { $car } lädt Ihren Vertrag. Das dauert ein bis zwei Minuten; diese Seite zeigt, wenn es so weit ist.
next-failed = { $car } hat Ihren Vertrag nicht bekommen.
next-see-why = Warum, und was hilft
next-drive = Alles bereit: { $car } verwendet Ihren Vertrag. Gute Fahrt.
notice-unlinked = Der Anbieter hat die Verknüpfung eines Vertrags beendet.
notice-suspended = Der Anbieter hat ein Profil vorläufig gesperrt.
notice-resumed = Der Anbieter hat die Sperre eines Profils aufgehoben.
notice-invalid = Der Anbieter hat ein Profil für ungültig erklärt. Es wird aus dem Auto entfernt.
notice-card-full = Ein Profil hat in einem Auto Platz für das einer anderen Person gemacht.
notice-car-cleared = Die Profile eines Autos wurden entfernt.
notice-doubtful = Der Anbieter erkennt die Verknüpfung eines Vertrags nicht mehr. Wir fragen nach.
notice-read = Gelesen

## Autos
car = Auto
car-unnamed = Auto …{ $end }
car-ends = Nummer endet mit { $end }
car-online = Verbunden
car-last-seen = Zuletzt verbunden { $when }
car-never-seen = Noch nie verbunden
car-logged-in = Sie sind in diesem Auto angemeldet.
car-empty = In diesem Auto ist kein Vertrag von Ihnen.
car-subscription = Vertrag in diesem Auto
car-session = Ihre Sitzung
car-log-out = In diesem Auto abmelden
car-log-out-of = In { $car } abmelden
car-name-title = Name des Autos
car-name = Name
car-name-hint = Nur Sie sehen ihn, etwa „Das blaue“. Leer lassen für keinen.
save-name = Name speichern
wrong-car-name = Ein Name hat höchstens 64 Zeichen, und Sie können 100 Autos benennen.
cars-none = Sie haben noch kein Auto. Melden Sie sich in einem an: mit Namen und PIN, oder mit dem Code, den es zeigt.
cars-other = { $count ->
    [one] { $count } weiteres Auto, in dem Sie waren
   *[other] { $count } weitere Autos, in denen Sie waren
}
vin = Fahrzeugnummer
profile-number = Profil
software = Software
last-message = Letzte Nachricht
state = Zustand
subscription = Vertrag
state-loading = Wird geladen
state-ready = Bereit
state-in-use = In Gebrauch
state-blocked = Vom Anbieter gesperrt
state-removal = Entfernen beauftragt
state-removing = Wird entfernt
state-removed = Entfernt
state-held = Von Ihnen entfernt
state-failed = Konnte nicht geladen werden
state-lost = Mit dem alten Gerät des Autos verloren
state-present = Im Auto
pending-removal = Das Entfernen wartet auf das Auto, beauftragt { $when }
pending-removal-online = Das Auto entfernt das Profil, beauftragt { $when }
pending-logout = Die Abmeldung wartet auf das Auto, beauftragt { $when }
pending-profile = Der Anbieter bereitet Ihr Profil vor, angefragt { $when }
held = Sie haben es entfernt. Bei Ihrer nächsten Anmeldung wird es nicht wieder geladen, außer Sie möchten das.
load-again = { $operator } bei der nächsten Anmeldung wieder laden
failed-again = Die nächste Anmeldung in diesem Auto versucht es wieder.
link-ended = die Verknüpfung ist beendet
remove-profile = { $operator } aus diesem Auto entfernen
delete-title = Bestätigen: Profil entfernen
delete-question = Bitte bestätigen: Dieses Profil aus dem Auto entfernen?
delete-soon = Das Auto ist verbunden und entfernt es sofort. Ihr Vertrag läuft weiter.
delete-later = Das Auto ist nicht verbunden. Es entfernt das Profil, sobald es das ist. Ihr Vertrag läuft weiter.
delete-yes = Entfernen
log-out-title = Bestätigen: In einem Auto abmelden
log-out-question = Bitte bestätigen: In { $car } abmelden?
log-out-soon = Das Auto ist verbunden und beendet Ihre Sitzung sofort. Ihr Profil bleibt für Ihre nächste Anmeldung darin.
log-out-later = Das Auto ist nicht verbunden. Es beendet Ihre Sitzung, sobald es das ist. Ihr Profil bleibt für Ihre nächste Anmeldung darin.
failure-title = Es kam kein Profil
failure-silent = { $operator } hat nicht rechtzeitig geantwortet. Melden Sie sich im Auto ab und wieder an, um es noch einmal zu versuchen.
failure-link = { $operator } erkennt die Verknüpfung mit Ihrem Konto nicht mehr. Lösen Sie die Verknüpfung des Vertrags, und verknüpfen Sie ihn neu.
failure-code = { $operator } hat etwas geschickt, das nicht verwendbar ist. Versuchen Sie es später wieder, oder fragen Sie { $operator }.
failure-type = { $operator } hat kein Profil für diese Art von Auto. Fragen Sie { $operator }, was möglich ist.
failure-none = { $operator } hat gerade kein Profil für diesen Vertrag. Versuchen Sie es später wieder, oder fragen Sie { $operator }.
failure-theirs = { $operator } hat eine Störung. Melden Sie sich später im Auto ab und wieder an, um es noch einmal zu versuchen.
failure-other = { $operator } hat kein Profil gegeben. Versuchen Sie es später wieder, oder fragen Sie { $operator }.
failure-words = Der Anbieter sagt: { $reason }
failure-code-number = Code { $code }

## Verträge
subscriptions-none = Noch ist kein Vertrag verknüpft.
number = Nummer
kind = Art
kind-private = privat
kind-business = geschäftlich
kind-unknown = nicht angegeben
linked-since = Verknüpft seit
in-cars = In Autos
in-no-car = Noch in keinem Auto. Melden Sie sich in einem Auto an, dann wird er geladen.
in-cars-count = { $count ->
    [one] In { $count } Auto
   *[other] In { $count } Autos
}
serves = Gilt in Autos
use-this = { $operator } in Autos verwenden
unlink-operator = Verknüpfung mit { $operator } lösen
contract-goes-on = Das Lösen entfernt die Profile aus Ihren Autos. Ihr Vertrag mit dem Anbieter läuft weiter; kündigen können Sie ihn nur beim Anbieter.
link-title = Vertrag verknüpfen
link-another = Sie können mehrere verknüpfen und wählen, welcher in Autos gilt.
link-none = Zurzeit wird kein Anbieter angeboten.
link-operator = { $operator } verknüpfen
links-ended = { $count ->
    [one] { $count } beendete Verknüpfung
   *[other] { $count } beendete Verknüpfungen
}
link-ended-at = Diese Verknüpfung ist beendet, { $when }.
link-ended-rest = { $count ->
    [one] { $count } Profil wartet noch darauf, dass das Auto es entfernt.
   *[other] { $count } Profile warten noch darauf, dass ihre Autos sie entfernen.
}
unlink-title = Bestätigen: Verknüpfung lösen
unlink-question = Bitte bestätigen: Die Verknüpfung mit { $operator }, Nummer { $number }, beenden?
unlink-effect = Die Profile werden aus Ihren Autos entfernt, jedes sobald das Auto eine Verbindung hat.
unlink-yes = Verknüpfung lösen
link-page-title = Vertrag verknüpfen
link-question = Sie gehen zu { $operator }, melden sich dort an und wählen einen Vertrag. Er wird mit diesem Konto verknüpft:
link-go = Zu { $operator }
not-now = Nicht jetzt
account = Konto
check-code = Prüfcode
check-code-hint = { $operator } zeigt auch einen Prüfcode: Es muss dieser sein. Machen Sie dort nur weiter, wenn Sie das hier selbst begonnen haben.
operator-asks = Der Anbieter fragt: { $question }
wrong-ver = Was der Anbieter über Sie wissen will, fehlt oder hat nicht die Form, die er verlangt.
linked-title = Verknüpft
linked = Ihr Vertrag ist verknüpft. Melden Sie sich in einem Auto an, um ihn zu verwenden.
linked-not-title = Nicht verknüpft
linked-aborted = Sie haben nicht zugestimmt. Nichts wurde verknüpft.
linked-failed = Der Anbieter hat den Vertrag nicht verknüpft. Bitte versuchen Sie es noch einmal, oder fragen Sie den Anbieter.
linked-unknown = Das wurde nicht hier begonnen. Bitte beginnen Sie auf der Seite Ihrer Verträge.
linked-open-title = Noch nicht verknüpft
linked-open = Der Anbieter hat sich noch nicht gemeldet. Bitte sehen Sie in einer Minute wieder nach.
look-again = Noch einmal nachsehen
return-title = Mit { $operator } verknüpfen
return-question = { $operator } möchte Ihren Vertrag dort mit diesem Konto verknüpfen:
return-warning = Stimmen Sie nur zu, wenn Sie das gerade selbst bei { $operator } begonnen haben.
return-yes = Zustimmen und zurück zu { $operator }
return-no = Nicht zustimmen

## Code eines Autos
code = Code
code-title = In einem Auto anmelden
code-hint = Buchstaben und Ziffern, wie das Auto sie zeigt; auf den Strich kommt es nicht an.
code-only-yours = Geben Sie den Code ein, den das Auto zeigt. Tun Sie das nur für ein Auto, in dem Sie sind.
code-go-on = Weiter
wrong-code = Diesen Code zeigt gerade kein Auto. Bitte sehen Sie noch einmal hin, oder lassen Sie das Auto einen neuen zeigen.
code-locked = { $minutes ->
    [one] Zu viele falsche Codes. Versuchen Sie es in { $minutes } Minute wieder.
   *[other] Zu viele falsche Codes. Versuchen Sie es in { $minutes } Minuten wieder.
}
confirm-title = Anmeldung bestätigen
confirm-question = Bitte bestätigen: { $name } in diesem Auto anmelden?
confirm-asked = Angefragt
confirm-warning = Wenn jemand Ihnen diesen Code gegeben hat, oder wenn Sie nicht im Auto sind, lehnen Sie ab. Sie können sich auf der Seite des Autos jederzeit abmelden.
confirm-yes = Anmelden
confirm-no = Nein
approved-title = Angemeldet
approved = Das Auto weiß Bescheid. Sie sind dort gleich angemeldet.
denied-title = Nicht angemeldet
denied = Dem Auto wurde abgesagt. Wenn Sie nicht davorstanden, hatte jemand anderes Ihren Code eingegeben.

## Anmelden
sign-in-name = Name
password = Passwort
wrong-sign-in = Name oder Passwort ist falsch.
register = Konto anlegen
register-yes = Konto anlegen
register-have = Ich habe schon eines
register-name = Name für die Anmeldung
register-name-hint = Für diese Seiten und für Autos; große und kleine Buchstaben sind gleich.
register-full = Im Moment werden zu viele Konten angelegt. Bitte versuchen Sie es später wieder.
leave = Zurück, ohne sich anzumelden
welcome-title = Willkommen
welcome = Ihr Konto ist angelegt. Bitte melden Sie sich an.
goodbye-title = Auf Wiedersehen
goodbye = Ihr Konto ist gelöscht. Ihre Autos vergessen Sie, sobald jedes eine Verbindung hat.
forgotten = Passwort vergessen?
forgotten-title = Passwort vergessen?
forgotten-how = Fragen Sie unseren Kundendienst. Er prüft, wer Sie sind, und setzt ein neues Passwort; das beendet alle Ihre Sitzungen. Ihre Verträge und Autos bleiben, wie sie sind.

## Einstellungen
settings-name = Name
settings-preferences = Vorlieben in Autos
settings-pin = PIN für Autos
settings-password = Passwort
settings-sessions = Wo Sie angemeldet sind
settings-export = Kopie Ihrer Daten
settings-delete = Konto löschen
change-name = Name ändern
change-preferences = Vorlieben ändern
change-pin = PIN ändern
change-password = Passwort ändern
change-sessions = Ändern, wo Sie angemeldet sind
shown-name = Wie Ihre Autos Sie nennen
shown-name-hint = Höchstens 64 Zeichen.
password-hint = Mindestens 8 Zeichen.
password-there = Sie melden sich mit einem Passwort an.
password-effect = Alle Ihre anderen Sitzungen enden.
present-password = Jetziges Passwort
new-password = Neues Passwort
new-password-again = Neues Passwort noch einmal
pin-there = Sie haben eine PIN.
pin-none = Sie haben keine PIN: Autos melden Sie nur mit einem Code an.
pin-hint = 4 bis 16 Ziffern; leer für keine.
new-pin = Neue PIN
wrong-present-password = Ihr jetziges Passwort ist falsch.
wrong-passwords-differ = Die beiden neuen Passwörter sind verschieden.
wrong-password-length = Ein Passwort hat 8 bis 256 Zeichen.
wrong-password-unusable = Dieses Passwort ist nicht verwendbar.
wrong-pin = Eine PIN hat 4 bis 16 Ziffern.
wrong-name = Ein Name hat 1 bis 64 druckbare Zeichen.
wrong-name-taken = Dieser Name ist vergeben.
wrong-own-name = Das ist nicht der Name, mit dem Sie sich anmelden.
wrong-account-gone = Dieses Konto wurde gelöscht.
wrong-preference = Eine Vorliebe hat einen Namen aus kleinen Buchstaben, Ziffern, Punkten und Strichen und einen Wert von einer Zeile.
wrong-preferences = Sie haben so viele Vorlieben, wie möglich sind. Entfernen Sie erst eine.
wrong-identity-taken = Mit diesem Konto meldet sich schon jemand anderes an.
wrong-identities = Sie haben so viele Arten der Anmeldung, wie möglich sind. Entfernen Sie erst eine.
wrong-last-way-in = Das ist Ihre einzige Art, sich anzumelden. Bitten Sie unseren Kundendienst erst um ein Passwort.
preferences-none = Sie haben nichts eingestellt: Jedes Auto macht es, wie es will.
preferences-hint = Jedes Auto, in dem Sie sich anmelden, bekommt sie; was es daraus macht, ist seine Sache.
preferences-more = Andere Vorlieben
preference-name = Name
preference-name-hint = Kleine Buchstaben, Ziffern, Punkte und Striche, etwa seat.height.
preference-value = Wert
save-preferences = Vorlieben speichern
save-preference = Diese Vorliebe speichern
remove-preference = { $name } entfernen
pref-none = Wie das Auto will
pref-language = Sprache
pref-language-en = Englisch
pref-language-de = Deutsch
pref-units = Einheiten
pref-units-metric = Kilometer, °C
pref-units-imperial = Meilen, °F
pref-climate-temperature = Temperatur, °C
pref-seat-position = Sitz
pref-seat-position-1 = 1 – ganz vorn
pref-seat-position-2 = 2 – vorn
pref-seat-position-3 = 3 – Mitte
pref-seat-position-4 = 4 – hinten
pref-seat-position-5 = 5 – ganz hinten
pref-mirrors-fold = Spiegel beim Parken anklappen
pref-mirrors-fold-on = Ja
pref-mirrors-fold-off = Nein
sessions-count = { $count ->
    [one] In { $count } Browser.
   *[other] In { $count } Browsern.
}
sessions-hint = Beenden Sie eine Sitzung, die Sie nicht erkennen, und ändern Sie dann Ihr Passwort.
session-this = diese hier
session-since = Seit { $when }
session-end = Sitzung von { $browser } beenden
sessions-end-others = Alle anderen Sitzungen beenden
browser-on = { $browser } auf { $system }
browser-unknown = ein Browser ohne Namen
identities-none = Sie können sich neben dem Passwort auch mit Ihrem Konto von { $provider } anmelden.
identity-since = Hinzugefügt { $when }
identity-add = { $provider } hinzufügen
identity-remove = { $provider } entfernen
export = Kopie herunterladen
export-hint = Alles, was wir über Sie aufbewahren, als Datei (JSON).
own-name = Ihr Name für die Anmeldung
delete-account = Mein Konto löschen
delete-account-hint = Alle Verknüpfungen enden, und Ihre Autos vergessen Sie.
delete-account-warning = Das kann niemand rückgängig machen.
delete-account-links = Alle Ihre Verträge werden gelöst, und ihre Profile werden aus Ihren Autos entfernt.
delete-account-cars = Ihre Autos vergessen Sie, jedes sobald es eine Verbindung hat.
delete-account-contract = Ihre Verträge mit Anbietern laufen weiter; kündigen können Sie sie nur bei den Anbietern.
delete-account-export = Erst eine Kopie Ihrer Daten herunterladen
