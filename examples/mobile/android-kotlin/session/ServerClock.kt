package com.example.session

import java.text.ParseException
import java.text.SimpleDateFormat
import java.util.Locale
import java.util.TimeZone
import okhttp3.Response

/**
 * The server's time, as its `Date` headers told it. The device's clock is never asked:
 * a user may have set it to anything. Between two answers the time goes on by a counter
 * that nobody can set. Safe for concurrent use.
 *
 * @param elapsed milliseconds since some moment. On Android give it
 * `SystemClock::elapsedRealtime`, which counts while the device sleeps.
 */
class ServerClock(val elapsed: () -> Long = { System.nanoTime() / 1_000_000 }) {
    private class Known(val server: Long, val elapsed: Long)

    @Volatile
    private var known: Known? = null

    /** The server's time in milliseconds; null until an answer told it. */
    fun now(): Long? = known?.let { it.server + (elapsed() - it.elapsed) }

    /** Takes the time from an answer that has just come; false if it has none to be believed. */
    fun learn(response: Response): Boolean {
        val date = response.header("Date")
        // An answer out of a cache tells the past.
        if (date == null || response.header("Age") != null) return false
        val format = SimpleDateFormat("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.US)
        format.timeZone = TimeZone.getTimeZone("GMT")
        val server = try {
            format.parse(date)?.time ?: return false
        } catch (e: ParseException) {
            return false
        }
        // A Date has whole seconds: on average the moment is half of one later.
        set(server + 500)
        return true
    }

    fun set(server: Long) {
        known = Known(server, elapsed())
    }
}
