package com.example.session

import java.io.IOException
import java.io.InterruptedIOException
import java.net.ConnectException
import java.net.NoRouteToHostException
import java.net.ProtocolException
import java.net.SocketTimeoutException
import java.net.UnknownHostException
import javax.net.ssl.SSLException
import okhttp3.Authenticator
import okhttp3.Interceptor
import okhttp3.Request
import okhttp3.Response
import okhttp3.Route

/** Attaches the token, refreshed shortly before it expires, and repeats what the gate asks to repeat later. */
internal class SessionInterceptor(private val session: Session) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        val original = chain.request()
        if (!session.covers(original)) return chain.proceed(original)
        val attempt = session.begin(chain.call())
        try {
            while (true) {
                val request = sign(original.newBuilder().tag(Attempt::class.java, attempt), session.usable(attempt))
                val response = proceed(chain, request, attempt) ?: continue
                session.clock.learn(response)
                // Of a 401 the authenticator has made what can be made of it.
                if (response.status == 401 || !session.again(attempt, GateAnswer.read(response))) return response
                response.close()
            }
        } catch (e: IOException) {
            // Whatever broke off because the session ended is told as that.
            throw if (session.over(attempt)) LoginRequiredException() else e
        } finally {
            session.finish(attempt)
        }
    }

    /** Null if the network failed, the request may be sent again, and it is time to. */
    private fun proceed(chain: Interceptor.Chain, request: Request, attempt: Attempt): Response? =
        try {
            chain.proceed(request)
        } catch (e: IOException) {
            if (attempt.call.isCanceled() || !harmless(request, e) || !session.pause(attempt, Session.backoff(attempt.failures++))) throw e
            null
        }

    private fun harmless(request: Request, e: IOException): Boolean = when (e) {
        is LoginRequiredException, is SessionUnavailableException, is SSLException, is ProtocolException -> false
        // Nothing was sent, whatever the request is.
        is ConnectException, is NoRouteToHostException, is UnknownHostException -> true
        else -> (e !is InterruptedIOException || e is SocketTimeoutException) &&
            (request.verb in IDEMPOTENT || request.header("Idempotency-Key") != null)
    }

    private companion object {
        val IDEMPOTENT = setOf("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
    }
}

/** Does what the `action` of a 401 asks for. OkHttp repeats the request that it returns, and gives up on null. */
internal class SessionAuthenticator(private val session: Session) : Authenticator {
    override fun authenticate(route: Route?, response: Response): Request? {
        val request = response.sent
        val attempt = request.tag(Attempt::class.java) ?: return null
        session.clock.learn(response)
        if (!session.again(attempt, GateAnswer.read(response))) return null
        return sign(request.newBuilder(), session.usable(attempt))
    }
}

private fun sign(request: Request.Builder, token: String): Request = request.header("Authorization", "Bearer $token").build()
