package com.example.session

import java.io.IOException
import java.util.Base64
import java.util.concurrent.TimeUnit
import okhttp3.FormBody
import okhttp3.OkHttpClient
import okhttp3.Request
import org.json.JSONException
import org.json.JSONObject

/**
 * The tokens of a session. Times are the server's, in milliseconds; 0 if nobody said.
 *
 * @property refresh empty if there is none
 * @property expires when the access token expires
 * @property life for how long it was issued
 */
class Tokens(val access: String, val refresh: String, val expires: Long, val life: Long) {
    companion object {
        /** Reads a token answer (RFC 6749 section 5.1) that has just come. */
        fun read(answer: JSONObject, refresh: String, clock: ServerClock): Tokens {
            val access = answer.getString("access_token")
            val claims = claims(access)
            val exp = claims.optLong("exp") * 1_000
            val iat = claims.optLong("iat") * 1_000
            val spoken = answer.optLong("expires_in") * 1_000
            val now = clock.now()
            return Tokens(
                access,
                if (answer.isNull("refresh_token")) refresh else answer.getString("refresh_token"),
                if (exp > 0) exp else if (now != null && spoken > 0) now + spoken else 0,
                if (spoken > 0) spoken else if (exp > 0 && iat > 0) exp - iat else 0
            )
        }

        /** The claims of a JWT, unverified: they only say when to refresh. */
        private fun claims(token: String): JSONObject =
            try {
                JSONObject(String(Base64.getUrlDecoder().decode(token.split('.')[1]), Charsets.UTF_8))
            } catch (e: RuntimeException) {
                JSONObject()
            } catch (e: JSONException) {
                JSONObject()
            }
    }
}

/** How a refresh went. */
internal sealed class Refreshed {
    class Granted(val tokens: Tokens) : Refreshed()

    /** The issuer has ended the session. */
    object Refused : Refreshed()

    /** Anything else: the session may be as good as ever. */
    class Later(val wait: Long) : Refreshed()
}

/** The issuer's token endpoint. */
internal class TokenEndpoint(private val url: String, private val clientId: String, http: OkHttpClient, timeout: Long, private val clock: ServerClock) {
    // OkHttp would send the same refresh token again behind our back if the connection broke.
    private val http = http.newBuilder().callTimeout(timeout, TimeUnit.MILLISECONDS).retryOnConnectionFailure(false).build()

    /** Asks for new tokens once. It does not throw: no failure here is the user's. */
    fun refresh(token: String): Refreshed {
        val form = FormBody.Builder().add("grant_type", "refresh_token").add("refresh_token", token).add("client_id", clientId)
        val request = Request.Builder().url(url).header("Accept", "application/json").post(form.build()).build()
        try {
            http.newCall(request).execute().use { response ->
                val told = clock.learn(response)
                val body = JSONObject(response.peekBody(MAX_BODY).string())
                if (response.status == 200 && body.optString("access_token") != "") {
                    val tokens = Tokens.read(body, token, clock)
                    // Without a Date, a token that is fresh tells the time as well.
                    if (!told && tokens.expires > 0 && tokens.life > 0) clock.set(tokens.expires - tokens.life)
                    return Refreshed.Granted(tokens)
                }
                // Only invalid_grant says that the session is over (RFC 6749 section 5.2); a wrong
                // client_id, for one, is a mistake in a release of the app.
                if (response.status in listOf(400, 401) && body.optString("error") == "invalid_grant") return Refreshed.Refused
                return Refreshed.Later(GateAnswer.retryAfter(response) ?: 0)
            }
        } catch (e: IOException) {
            return Refreshed.Later(0)
        } catch (e: JSONException) {
            return Refreshed.Later(0)
        }
    }

    private companion object {
        const val MAX_BODY = 256L * 1024
    }
}
