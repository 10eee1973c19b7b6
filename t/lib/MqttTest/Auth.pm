package MqttTest::Auth;

# Copyright (C) ngx_mqtt_module authors

# Credentials of the contract.
#
#     sign($secret, $text)         Base64(HMAC-SHA1), padded
#     signature($id, $key, $secret, $instance)
#     device($id, $key, $secret, $instance)
#                                  arguments of a CONNECT
#     reason($t, $port, %connect)  the reason code of CONNACK, or 'closed'
#     jwt($secret, \%claims, alg => 'HS256', sign => sub { })
#                                  a compact token; the head says "alg", the
#                                  signature is HMAC-SHA256 or sign($text)
#     post($t, $uri, %parameters)  a form; the decoded answer
#     get($t, $uri, %parameters)
#     apply($t, $key, $secret, $instance, %parameters)
#                                  applies for a token; the decoded answer

use warnings;
use strict;

use Exporter qw/ import /;

use Digest::SHA qw/ hmac_sha1 hmac_sha256 /;
use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;

our @EXPORT_OK = qw/ sign signature device reason jwt post get apply /;


sub sign {
    my ($secret, $text) = @_;

    return encode_base64(hmac_sha1($text, $secret), '');
}


sub credentials {
    my ($mode, $id, $key, $secret, $instance) = @_;

    return (client_id => $id, username => "$mode|$key|$instance",
            password => sign($secret, $id));
}


sub signature { return credentials('Signature', @_) }
sub device    { return credentials('DeviceCredential', @_) }


sub reason {
    my ($t, $port, %args) = @_;

    my $c = $t->socket(port => $port, version => delete $args{version} // 5);
    my $connack = $c->connect(%args);

    $c->close;

    return $connack ? $connack->{reason} : 'closed';
}


sub jwt {
    my ($secret, $claims, %args) = @_;

    my $json = JSON::PP->new->canonical;
    my $head = { typ => 'JWT', alg => $args{alg} // 'HS256' };
    my $text = join '.', map { base64url(ref $_ ? $json->encode($_) : $_) }
                         $head, $claims;
    my $sign = $args{sign} || sub { hmac_sha256($_[0], $secret) };

    return "$text." . base64url($sign->($text));
}


sub base64url {
    my ($bytes) = @_;

    return encode_base64($bytes, '') =~ tr{+/}{-_}r =~ s/=//gr;
}


sub form {
    my (%p) = @_;

    return join '&', map {
        my $value = $p{$_};
        utf8::encode($value) if utf8::is_utf8($value);
        "$_=" . $value =~ s/([^A-Za-z0-9.~_-])/sprintf '%%%02X', ord $1/ger;
    } sort keys %p;
}


sub request {
    my ($t, $method, $uri, $body, @headers) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $t->port('http')) or return;

    print $s join "\r\n", "$method $uri HTTP/1.0", 'Host: localhost',
             @headers, 'Content-Length: ' . length $body, '', $body;

    local $/;
    my $answer = <$s> // '';

    my ($status, $text) = $answer =~ m{^HTTP/1\.\d (\d+).*?\r\n\r\n(.*)}s
        or return;

    return eval { JSON::PP::decode_json($text) } || { code => "HTTP $status" };
}


sub post {
    my ($t, $uri, %parameters) = @_;

    return request($t, 'POST', $uri, form(%parameters),
                   'Content-Type: application/x-www-form-urlencoded');
}


sub get {
    my ($t, $uri, %parameters) = @_;

    return request($t, 'GET', "$uri?" . form(%parameters), '');
}


sub apply {
    my ($t, $key, $secret, $instance, %p) = @_;

    my $uri = delete $p{uri} // '/token/apply';

    %p = (actions => 'R,W', resources => '#', accessKey => $key,
          expireTime => (time() + 3600) * 1000, proxyType => 'MQTT',
          serviceName => 'mq', instanceId => $instance, %p);

    my $signed = join '&', map {
        "$_=" . join ',', sort split /,/, $p{$_}, -1
    } qw/ actions expireTime instanceId resources serviceName /;

    return post($t, $uri, signature => sign($secret, $signed), %p);
}


1;
