package com.example.session

import java.io.IOException
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock
import kotlin.math.max
import kotlin.math.min
import okhttp3.Call
import okhttp3.OkHttpClient
import okhttp3.Request
import org.json.JSONObject

/**
 * The app's session: one object a process, safe for concurrent use. Its methods may wait
 * for the disk and the network, so call them from a background thread.
 */
class Session(private val options: Options) {
    val clock = options.clock
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val background = Executors.newScheduledThreadPool(2) { Thread(it, "session").apply { isDaemon = true } }
    private val endpoint = TokenEndpoint(options.tokenUrl, options.clientId, options.http, options.refreshTimeout, clock)
    private val logouts = LogoutQueue(options.logoutUrl, options.http)
    private val base = Request.Builder().url(options.api).build().address.trimEnd('/') + "/"
    private val attempts = HashSet<Attempt>()
    private var login: Login? = null
    private var flushing = false
    private var flushAt = 0L

    init {
        // Takes up what the store holds, and sends the logouts that wait in it.
        stored("load") {
            options.store.load()?.let { text ->
                val state = State.read(text)
                login = state.session?.let { Login(it, accepted = true) }
                logouts.restore(state.logouts)
            }
        }
        flushLogouts()
    }

    val signedIn: Boolean get() = lock.withLock { login != null }

    /** How many logouts have not reached the gateway. */
    val queuedLogouts: Int get() = lock.withLock { logouts.waiting.size }

    /**
     * The client for the API. The gate answers a request at most twice; a request that is not
     * idempotent is sent again only after such an answer, or if no connection was made.
     */
    fun client(http: OkHttpClient = OkHttpClient()): OkHttpClient =
        http.newBuilder()
            .addInterceptor(SessionInterceptor(this))
            .authenticator(SessionAuthenticator(this))
            // OkHttp would send a POST again whose connection broke after it was sent.
            .retryOnConnectionFailure(false)
            .build()

    /** Begins a session with what the issuer answered to the app's login. */
    fun signIn(answer: JSONObject) = lock.withLock {
        leave()
        login = Login(Tokens.read(answer, "", clock), accepted = false)
        save()
    }

    /**
     * Ends the session on this device at once, and at the gateway as soon as it can be
     * reached. No call goes out after this began.
     *
     * @return whether the gateway knows; if not, the logout is queued
     */
    fun logout(): Boolean {
        lock.withLock {
            login?.let {
                it.loggedOut = true
                leave()
                logouts.add(it.tokens.access)
                save()
            }
        }
        flushLogouts()
        return lock.withLock {
            val deadline = clock.elapsed() + LOGOUT_WAIT
            while (flushing && clock.elapsed() < deadline) changed.await(POLL, TimeUnit.MILLISECONDS)
            logouts.waiting.isEmpty()
        }
    }

    /** Sends the queued logouts. Call it when the network is back; it tries again by itself, too. */
    fun flushLogouts() = lock.withLock {
        if (!flushing && logouts.waiting.isNotEmpty()) {
            flushing = true
            background.execute(::flush)
        }
    }

    internal fun covers(request: Request) = request.address.startsWith(base)

    internal fun begin(call: Call): Attempt = lock.withLock {
        val attempt = Attempt(login ?: throw LoginRequiredException(), call, clock.elapsed() + options.patience)
        attempts.add(attempt)
        attempt
    }

    internal fun finish(attempt: Attempt) {
        lock.withLock { attempts.remove(attempt) }
    }

    internal fun over(attempt: Attempt) = lock.withLock { login !== attempt.login }

    /** The access token to send, refreshed if need be. */
    internal fun usable(attempt: Attempt): String {
        lock.lock()
        try {
            val login = attempt.login
            while (true) {
                check(attempt)
                val now = clock.elapsed()
                val left = left(login.tokens)
                val margin = if (login.tokens.life > 0) min(options.margin, login.tokens.life / 3) else options.margin
                // Still good: nobody waits for a slow issuer.
                val good = !login.stale && left > min(1_000, margin / 2)
                if (good && left <= margin && now >= login.notBefore) refresh(login)
                if (good) {
                    attempt.token = login.tokens.access
                    return attempt.token
                }
                if (now >= attempt.deadline || login.notBefore > attempt.deadline) throw SessionUnavailableException()
                if (now >= login.notBefore) refresh(login)
                val until = if (login.refreshing) attempt.deadline else login.notBefore
                changed.await(min(POLL, max(1, until - now)), TimeUnit.MILLISECONDS)
            }
        } finally {
            lock.unlock()
        }
    }

    /** Draws the conclusions from an answer, and says whether to repeat the request. */
    internal fun again(attempt: Attempt, answer: GateAnswer?): Boolean = lock.withLock {
        val login = attempt.login
        val current = attempt.token == login.tokens.access
        when (answer?.action) {
            null, Action.NONE -> { // the token is good, or the request was bad
                if (current) {
                    login.accepted = true
                    login.refusals = 0
                }
                return false
            }
            Action.LOGIN -> {
                // What is true of an old token need not be true of its successor.
                if (current) end(login, answer.code, attempt)
                if (current || attempt.repeated) return false
            }
            Action.REFRESH -> {
                if (current) refused(login, answer.code, attempt)
                if (attempt.repeated) return false
            }
            Action.RETRY -> {
                val wait = answer.wait + (Math.random() * answer.wait / 5).toLong()
                if (attempt.repeated || !pause(attempt, wait)) return false
            }
        }
        attempt.repeated = true
        return this.login === login
    }

    /** Waits; false at once if the call has not so much patience left. */
    internal fun pause(attempt: Attempt, ms: Long): Boolean {
        lock.lock()
        try {
            val end = clock.elapsed() + ms
            if (end > attempt.deadline) return false
            while (true) {
                check(attempt)
                val left = end - clock.elapsed()
                if (left <= 0) return true
                changed.await(min(POLL, left), TimeUnit.MILLISECONDS)
            }
        } finally {
            lock.unlock()
        }
    }

    private fun check(attempt: Attempt) {
        if (login !== attempt.login) throw LoginRequiredException()
        if (attempt.call.isCanceled()) throw IOException("Canceled")
    }

    /** Milliseconds until the token expires. Without the server's time we do not know, and let the gate say. */
    private fun left(tokens: Tokens): Long {
        val now = clock.now()
        return if (now == null || tokens.expires == 0L) Long.MAX_VALUE else tokens.expires - now
    }

    private fun refresh(login: Login) {
        if (!login.refreshing) {
            login.refreshing = true
            background.execute { refreshOnce(login) }
        }
    }

    private fun refreshOnce(login: Login) {
        val token = login.tokens.refresh
        val result = if (token == "") Refreshed.Refused else endpoint.refresh(token)
        lock.withLock {
            login.refreshing = false
            if (this.login !== login) {
                // Too late: what came is logged out like what it replaces.
                if (login.loggedOut && result is Refreshed.Granted) {
                    logouts.add(result.tokens.access)
                    save()
                    flushLogouts()
                }
            } else when (result) {
                is Refreshed.Granted -> {
                    login.renew(result.tokens)
                    save() // on disk before anybody uses them: the old refresh token is worthless now
                }
                is Refreshed.Refused -> end(login, "invalid_grant")
                is Refreshed.Later -> login.notBefore = clock.elapsed() + max(backoff(login.failures++), min(result.wait, 60_000))
            }
            changed.signalAll()
        }
    }

    private fun refused(login: Login, code: String, attempt: Attempt) {
        if (login.stale) return // of parallel calls with one token the first counts
        val now = clock.elapsed()
        if (!login.accepted) {
            // Fresh, and refused: another one will hardly do better, so ask ever more slowly.
            if (login.refusals == 0) login.refusedSince = now
            if (code == "token_invalid" && now - login.refusedSince > REFUSED_TOO_LONG) return end(login, code, attempt)
            login.notBefore = max(login.notBefore, now + backoff(login.refusals++))
        }
        login.stale = true
    }

    /** The session is over without the user's doing. The call that heard of it gets its answer. */
    private fun end(login: Login, why: String, attempt: Attempt? = null) {
        if (this.login !== login) return
        attempts.remove(attempt)
        leave()
        save()
        background.execute { options.onLoginRequired(why) }
    }

    /** Nothing is sent for the login from here on. */
    private fun leave() {
        login = null
        attempts.forEach { it.call.cancel() }
        changed.signalAll()
    }

    private fun flush() {
        val asked = HashSet<String>()
        var wait = 0L
        while (true) {
            val logout = lock.withLock { logouts.waiting.find { it.token !in asked } } ?: break
            asked.add(logout.token)
            val sent = logouts.send(logout)
            if (sent is LogoutQueue.Sent.Again) wait = max(wait, sent.wait)
            lock.withLock {
                logouts.settle(logout, sent)
                save()
            }
        }
        lock.withLock {
            flushing = false
            changed.signalAll()
            logouts.failures = if (logouts.waiting.isEmpty()) 0 else logouts.failures + 1
            if (logouts.failures > 0) {
                val next = max(wait, min(2_000L shl min(logouts.failures, 10), 300_000))
                // One timer counts, however often somebody asked in between.
                flushAt = clock.elapsed() + next
                background.schedule({ if (lock.withLock { clock.elapsed() >= flushAt }) flushLogouts() }, next, TimeUnit.MILLISECONDS)
            }
        }
    }

    private fun save() = stored("save") { options.store.save(State(login?.tokens, logouts.waiting).write()) }

    private fun stored(what: String, work: () -> Unit) =
        try {
            work()
        } catch (e: Exception) {
            options.onStoreError(IOException("session store: $what", e))
        }

    internal companion object {
        // A key that the issuer has just begun to sign with may be unknown to the gateway for
        // half a minute: fresh tokens that are refused for a shorter time end no session.
        private const val REFUSED_TOO_LONG = 60_000
        private const val LOGOUT_WAIT = 5_000
        private const val POLL = 250L

        /** Half a second, then twice as long each time, up to five; half of it at random, so that devices spread. */
        fun backoff(failures: Int): Long = (min(500L shl min(failures, 10), 5_000) * (0.5 + Math.random() / 2)).toLong()
    }
}
