package com.example.session

import java.io.IOException
import okhttp3.Response
import org.json.JSONException
import org.json.JSONObject

/** What an answer of the gate asks for; see docs/mobile.md. */
enum class Action(val word: String) { REFRESH("refresh"), LOGIN("login"), RETRY("retry"), NONE("none") }

/** @property wait milliseconds to wait before [Action.RETRY] */
class GateAnswer(val action: Action, val code: String, val wait: Long) {
    companion object {
        private const val MAX_BODY = 8L * 1024

        /**
         * Reads an answer of the gate; null if it comes from anybody else: the API behind it,
         * a proxy, a captive portal. Those say nothing about the session. The body stays unread.
         */
        fun read(response: Response): GateAnswer? {
            if (response.status !in listOf(400, 401, 403, 503)) return null
            val wait = retryAfter(response) ?: 1_000
            if (response.sent.verb == "HEAD") return withoutBody(response, wait)
            if (response.header("Content-Type")?.startsWith("application/problem+json") != true) return null
            return try {
                val body = JSONObject(response.peekBody(MAX_BODY).string())
                val action = Action.values().find { it.word == body.optString("action") }
                if (action == null) null else GateAnswer(action, body.optString("code"), wait)
            } catch (e: JSONException) {
                null
            } catch (e: IOException) {
                null // cut off on the way: no word of the gate
            }
        }

        /** An answer to HEAD has no body, and its headers do not tell expired from revoked: a refresh will. */
        private fun withoutBody(response: Response, wait: Long): GateAnswer? {
            val later = response.header("Retry-After") != null
            val invalid = response.header("WWW-Authenticate")?.contains("error=\"invalid_token\"") == true
            return when {
                response.status == 401 && invalid -> GateAnswer(if (later) Action.RETRY else Action.REFRESH, "", wait)
                response.status == 503 && later -> GateAnswer(Action.RETRY, "", wait)
                else -> null
            }
        }

        /** Milliseconds of a Retry-After in seconds, the only form that the gate uses. */
        fun retryAfter(response: Response): Long? {
            val value = response.header("Retry-After") ?: return null
            return if (value.matches(Regex("[0-9]{1,9}"))) value.toLong() * 1_000 else null
        }
    }
}
