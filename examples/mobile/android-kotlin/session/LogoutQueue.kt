package com.example.session

import java.io.IOException
import java.util.concurrent.TimeUnit
import okhttp3.FormBody
import okhttp3.OkHttpClient
import okhttp3.Request

/** Logouts on their way to the gateway. Its lists are guarded by the session's lock. */
internal class LogoutQueue(private val url: String, http: OkHttpClient) {
    private val http = http.newBuilder().callTimeout(10, TimeUnit.SECONDS).build()

    var waiting: List<QueuedLogout> = emptyList()
        private set

    /** How many flushes in a row left something behind. */
    var failures = 0

    fun restore(logouts: List<QueuedLogout>) {
        waiting = logouts
    }

    /** The oldest of too many is forgotten. */
    fun add(token: String) {
        waiting = (waiting + QueuedLogout(token, 0)).takeLast(MAX_QUEUED)
    }

    fun settle(logout: QueuedLogout, sent: Sent) {
        waiting = when {
            sent is Sent.Again -> waiting
            sent is Sent.Done || logout.refused + 1 >= MAX_REFUSALS -> waiting.filter { it.token != logout.token }
            else -> waiting.map { if (it.token == logout.token) QueuedLogout(it.token, it.refused + 1) else it }
        }
    }

    sealed class Sent {
        object Done : Sent()

        /** No network, or somebody who cannot decide: it counts as not asked. */
        class Again(val wait: Long) : Sent()

        /** Answered with something else than success: worth some more tries, not endless ones. */
        object Refused : Sent()
    }

    /** Sends one logout. The token may have expired: the gateway's `allow_expired` is for this. */
    fun send(logout: QueuedLogout): Sent {
        val request = Request.Builder().url(url).header("Authorization", "Bearer ${logout.token}").post(FormBody.Builder().build()).build()
        try {
            http.newCall(request).execute().use { response ->
                if (response.isSuccessful) return Sent.Done
                val answer = GateAnswer.read(response)
                return when {
                    // Revoked: an earlier try did it, and its answer got lost. Expired: by more
                    // than allow_expired, so the token is worthless without us.
                    answer?.code == "token_revoked" || answer?.code == "token_expired" -> Sent.Done
                    answer?.action == Action.RETRY -> Sent.Again(answer.wait)
                    response.status == 429 || response.status >= 500 -> Sent.Again(GateAnswer.retryAfter(response) ?: 0)
                    else -> Sent.Refused
                }
            }
        } catch (e: IOException) {
            return Sent.Again(0)
        }
    }

    private companion object {
        const val MAX_QUEUED = 20

        /** After so many refusals a logout is given up: it is not going to succeed any more. */
        const val MAX_REFUSALS = 20
    }
}
