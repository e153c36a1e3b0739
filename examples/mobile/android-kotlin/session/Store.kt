package com.example.session

import org.json.JSONArray
import org.json.JSONObject

/**
 * Where a session outlives the app's process: one text, read and replaced as a whole.
 * It is used by one thread at a time. See android/KeystoreStore.kt.
 */
interface Store {
    /** The text that was saved last, or null. */
    fun load(): String?

    fun save(text: String)
}

/** For tests, and for apps whose sessions end with the process. */
class MemoryStore : Store {
    private var text: String? = null

    override fun load() = text

    override fun save(text: String) {
        this.text = text
    }
}

/**
 * A logout that has not reached the gateway.
 *
 * @property refused how often it was answered, and not with success
 */
internal class QueuedLogout(val token: String, val refused: Int)

/** What is kept across restarts. */
internal class State(val session: Tokens?, val logouts: List<QueuedLogout>) {
    fun write(): String {
        val root = JSONObject()
        session?.let {
            root.put("session", JSONObject().put("access", it.access).put("refresh", it.refresh).put("expires", it.expires).put("life", it.life))
        }
        val queue = JSONArray()
        logouts.forEach { queue.put(JSONObject().put("token", it.token).put("refused", it.refused)) }
        return root.put("logouts", queue).toString()
    }

    companion object {
        fun read(text: String): State {
            val root = JSONObject(text)
            val session = root.optJSONObject("session")?.let {
                Tokens(it.getString("access"), it.optString("refresh"), it.optLong("expires"), it.optLong("life"))
            }
            val queue = root.optJSONArray("logouts") ?: JSONArray()
            val logouts = (0 until queue.length()).map { queue.getJSONObject(it) }
            return State(session, logouts.map { QueuedLogout(it.getString("token"), it.optInt("refused")) })
        }
    }
}
