// OkHttp 3 has methods where OkHttp 4 and 5 have properties, and those hide the methods
// from Kotlin. This file is good for all of them; nothing else here depends on the version.
@file:Suppress("DEPRECATION_ERROR")

package com.example.session

import okhttp3.Request
import okhttp3.Response

internal val Response.status: Int get() = code()
internal val Response.sent: Request get() = request()
internal val Request.address: String get() = url().toString()
internal val Request.verb: String get() = method()
