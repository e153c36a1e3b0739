package com.example.session

import java.io.IOException
import okhttp3.OkHttpClient

/**
 * @property api the API, `https://api.example.com`: the token goes nowhere else
 * @property onLoginRequired the session is over and the user must log in. Called once a
 * session on a thread of the session, never for [Session.logout]. Gets the reason.
 * @property onStoreError the store failed; the session goes on until the process ends
 * @property patience for how many milliseconds a call may wait in all for the network, the
 * gateway and the issuer
 * @property margin how many milliseconds before its end a token is refreshed, at most a
 * third of its life
 * @property refreshTimeout for how many milliseconds the issuer may take to answer
 * @property http what the session's own requests go through, without interceptors of the session
 */
class Options(
    val api: String,
    val tokenUrl: String,
    val clientId: String,
    val logoutUrl: String,
    val store: Store,
    val onLoginRequired: (String) -> Unit = {},
    val onStoreError: (Exception) -> Unit = {},
    val patience: Long = 15_000,
    val margin: Long = 30_000,
    val refreshTimeout: Long = 10_000,
    val clock: ServerClock = ServerClock(),
    val http: OkHttpClient = OkHttpClient()
)

/** There is no session, or not any more. The call was not sent, or its answer is of no use. */
class LoginRequiredException : IOException("the user is not logged in")

/** No good token could be had in time. The session is kept: try again later. */
class SessionUnavailableException : IOException("no fresh token could be had in time; the session is kept")
