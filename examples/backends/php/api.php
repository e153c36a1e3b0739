<?php
// The smallest legacy API in PHP: it answers with what it believes about the
// user, and knows nothing of tokens.
//
//     GATEWAY_SECRET=... php -S 127.0.0.1:9000 examples/backends/php/api.php

// The default form. rawurldecode leaves + alone; urldecode would make a blank of it.
function text(string $name): ?string
{
    $value = $_SERVER[$name] ?? '';
    return $value === '' ? null : rawurldecode($value);
}

// join: split first, decode each element then.
function elements(string $name): ?array
{
    $value = $_SERVER[$name] ?? '';
    return $value === '' ? null : array_map('rawurldecode', explode(',', $value));
}

// Integers that PHP cannot hold stay digits.
function from_json(string $json)
{
    return $json === '' ? null : json_decode($json, true, 64, JSON_BIGINT_AS_STRING | JSON_THROW_ON_ERROR);
}

function from_base64url(string $value): ?string
{
    return $value === '' ? null : (string) base64_decode(strtr($value, '-_', '+/'));
}

function believe(): array
{
    $verified = $_SERVER['HTTP_X_USER_VERIFIED'] ?? null;
    return [
        'id' => text('HTTP_X_USER_ID'),
        'name' => text('HTTP_X_USER_NAME'),
        'account' => text('HTTP_X_USER_ACCOUNT'), // digits
        'verified' => $verified === null ? null : $verified === 'true',
        'roles' => elements('HTTP_X_USER_ROLES'),
        'groups' => from_json($_SERVER['HTTP_X_USER_GROUPS'] ?? ''),
        'profile' => from_base64url($_SERVER['HTTP_X_USER_PROFILE'] ?? ''),
        'city' => $_SERVER['HTTP_X_USER_CITY'] ?? null, // utf8: PHP keeps the bytes
    ];
}

// Not reached through the gateway, or not set up: refused. PHP's server speaks
// no TLS; behind nginx or Apache, ask for the client certificate there.
$secret = (string) getenv('GATEWAY_SECRET');
if ($secret === '' || !hash_equals($secret, $_SERVER['HTTP_X_GATEWAY_SECRET'] ?? '')) {
    http_response_code(403);
    header('Content-Type: text/plain');
    exit("not through the gateway\n");
}
header('Content-Type: application/json');
echo json_encode(believe(), JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
