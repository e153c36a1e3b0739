package com.example.session

import okhttp3.Call

/** One login, from its first tokens to its end. Guarded by the session's lock. */
internal class Login(var tokens: Tokens, var accepted: Boolean) {
    /** The access token was refused: the next call refreshes first. */
    var stale = false

    /** Since when tokens were refused that were fresh, and how many in a row. */
    var refusedSince = 0L
    var refusals = 0

    /** Failed refreshes in a row, and the moment before which there is no next one. */
    var failures = 0
    var notBefore = Long.MIN_VALUE
    var refreshing = false
    var loggedOut = false

    fun renew(tokens: Tokens) {
        this.tokens = tokens
        stale = false
        accepted = false
        failures = 0
    }
}

/** One call of the app, over all its tries. It belongs to the login that it began with. */
internal class Attempt(val login: Login, val call: Call, val deadline: Long) {
    /** What the last try was sent with. */
    @Volatile
    var token = ""
    var repeated = false
    var failures = 0
}
