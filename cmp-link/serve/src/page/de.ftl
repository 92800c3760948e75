# Was die Seiten aller Server gemeinsam haben.
skip-to-content = Zum Inhalt springen
navigation = Hauptnavigation
legal = Rechtliches
reload = Seite neu laden
time-now = gerade eben
time-seconds = { $count ->
    [one] vor { $count } Sekunde
   *[other] vor { $count } Sekunden
}
time-minutes = { $count ->
    [one] vor { $count } Minute
   *[other] vor { $count } Minuten
}
time-hours = { $count ->
    [one] vor { $count } Stunde
   *[other] vor { $count } Stunden
}
time-days = { $count ->
    [one] vor { $count } Tag
   *[other] vor { $count } Tagen
}
time-months = { $count ->
    [one] vor { $count } Monat
   *[other] vor { $count } Monaten
}
time-years = { $count ->
    [one] vor { $count } Jahr
   *[other] vor { $count } Jahren
}
time-future = { $date }
too-many-title = Zu viele Versuche
too-many = { $seconds ->
    [one] Bitte versuchen Sie es in { $seconds } Sekunde wieder.
   *[other] Bitte versuchen Sie es in { $seconds } Sekunden wieder.
}
