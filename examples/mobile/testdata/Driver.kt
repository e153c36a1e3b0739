// Drives the Kotlin session for the Go tests: one command a line on stdin, one JSON
// object a line on stdout. Argument: the options.
@file:Suppress("DEPRECATION_ERROR") // see Compat.kt

import com.example.session.GateAnswer
import com.example.session.LoginRequiredException
import com.example.session.Options
import com.example.session.Session
import com.example.session.SessionUnavailableException
import com.example.session.Store
import java.io.File
import java.io.IOException
import java.nio.file.Files
import java.nio.file.StandardCopyOption
import java.util.Collections
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import okhttp3.FormBody
import okhttp3.OkHttpClient
import okhttp3.Request
import org.json.JSONArray
import org.json.JSONObject

private val out = Any()

private fun say(line: JSONObject) = synchronized(out) {
    println(line)
    System.out.flush()
}

private class FileStore(path: String) : Store {
    private val file = File(path)

    override fun load() = if (file.exists()) file.readText() else null

    override fun save(text: String) {
        val fresh = File(file.path + ".new")
        fresh.writeText(text)
        Files.move(fresh.toPath(), file.toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
    }
}

private class Driver(options: JSONObject) {
    private val ended = Collections.synchronizedList(ArrayList<String>())
    private val api = options.getString("api")
    private val session = Session(
        Options(
            api, options.getString("tokenUrl"), options.getString("clientId"), options.getString("logoutUrl"),
            FileStore(options.getString("store")),
            onLoginRequired = { ended.add(it) },
            onStoreError = { say(JSONObject().put("event", "fault").put("text", it.toString())) },
            patience = options.optLong("patience", 15_000),
            margin = options.optLong("margin", 30_000),
            refreshTimeout = options.optLong("refreshTimeout", 10_000)
        )
    )
    private val http: OkHttpClient = session.client()
    private val serial = AtomicInteger()

    @Volatile
    private var leaving = false

    @Volatile
    private var running = false
    private var workers = emptyList<Thread>()

    private fun one(c: JSONObject): JSONObject {
        val rid = c.optString("prefix", "r") + "-" + ProcessHandle.current().pid() + "-" + serial.incrementAndGet()
        val result = JSONObject().put("rid", rid).put("after", leaving)
        val began = System.nanoTime()
        try {
            val request = Request.Builder().url(api + c.optString("path", "/orders")).header("X-Request-Id", rid)
            c.optJSONObject("headers")?.let { h -> h.keys().forEach { request.header(it, h.getString(it)) } }
            val method = c.optString("method", "GET")
            val body = if (method in setOf("POST", "PUT")) FormBody.Builder().add("a", "b").build() else null
            http.newCall(request.method(method, body).build()).execute().use { response ->
                result.put("status", response.code())
                val text = response.peekBody(65536).string()
                val answer = GateAnswer.read(response)
                if (answer != null) result.put("code", answer.code) else result.put("body", text)
            }
        } catch (e: IOException) {
            result.put("error", when (e) {
                is LoginRequiredException -> "login_required"
                is SessionUnavailableException -> "unavailable"
                else -> "network"
            }).put("text", e.toString())
        }
        return result.put("ms", (System.nanoTime() - began) / 1_000_000)
    }

    fun run(c: JSONObject): JSONObject {
        val reply = JSONObject().put("id", c.getInt("id"))
        when (c.getString("do")) {
            "signIn" -> session.signIn(c.getJSONObject("answer"))
            "call" -> {
                val calls = Collections.synchronizedList(ArrayList<JSONObject>())
                (1..c.optInt("parallel", 1)).map { thread { calls.add(one(c)) } }.forEach { it.join() }
                reply.put("calls", JSONArray(calls as Collection<*>))
            }
            "load" -> {
                running = true
                workers += (1..c.getInt("parallel")).map {
                    thread {
                        while (running) {
                            say(one(c).put("event", "call"))
                            Thread.sleep(c.optLong("pause", 20))
                        }
                    }
                }
            }
            "stop" -> {
                running = false
                workers.forEach { it.join() }
            }
            "logout" -> {
                leaving = true
                reply.put("logout", if (session.logout()) "done" else "queued")
            }
            "flush" -> session.flushLogouts()
            "state" -> reply.put("signedIn", session.signedIn).put("queued", session.queuedLogouts)
                .put("ended", JSONArray(ended as Collection<*>)).put("wall", System.currentTimeMillis()).put("server", session.clock.now() ?: 0)
        }
        return reply
    }
}

fun main(args: Array<String>) {
    val driver = Driver(JSONObject(args[0]))
    say(JSONObject().put("event", "ready"))
    generateSequence(::readLine).forEach { line ->
        val command = JSONObject(line)
        thread {
            say(
                try {
                    driver.run(command)
                } catch (e: Throwable) {
                    JSONObject().put("id", command.getInt("id")).put("fault", e.toString() + " " + e.stackTrace.take(6))
                }
            )
        }
    }
    System.exit(0)
}
