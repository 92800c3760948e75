# What the pages of every server share.
skip-to-content = Skip to the content
navigation = Main navigation
legal = Legal information
reload = Reload this page
time-now = just now
time-seconds = { $count ->
    [one] { $count } second ago
   *[other] { $count } seconds ago
}
time-minutes = { $count ->
    [one] { $count } minute ago
   *[other] { $count } minutes ago
}
time-hours = { $count ->
    [one] { $count } hour ago
   *[other] { $count } hours ago
}
time-days = { $count ->
    [one] { $count } day ago
   *[other] { $count } days ago
}
time-months = { $count ->
    [one] { $count } month ago
   *[other] { $count } months ago
}
time-years = { $count ->
    [one] { $count } year ago
   *[other] { $count } years ago
}
time-future = { $date }
too-many-title = Too many attempts
too-many = { $seconds ->
    [one] Please try again in { $seconds } second.
   *[other] Please try again in { $seconds } seconds.
}
