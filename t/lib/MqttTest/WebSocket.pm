package MqttTest::WebSocket;

# Copyright (C) ngx_mqtt_module authors

# The client's half of RFC 6455, as MqttTest::Client with ws => 1 uses it, and
# for tests that look at frames themselves.
#
#     $bytes = frame($payload, opcode => BINARY, fin => 1, mask => 'abcd',
#                    rsv => 0, form => 7, 16 or 64, length => n)
#               one frame; "mask" undef: not masked; "form" is how its length
#               is written, "length" another one than it has
#     $bytes = request(%options)  a handshake: path, protocol, origin, host,
#               key, method, http, headers => { name => value, undef: not
#               sent, [ ... ]: several times }
#     $accept = accept_key($key)
#
#     $ws = MqttTest::WebSocket->new
#     $payload = $ws->feed($bytes)
#               takes the frames of a server off the stream; dies unless they
#               are what a server has to send
#     $ws->frames                 [ opcode, length of payload ] of all so far
#     $ws->pongs                  their payloads
#     $ws->close_code, $ws->close_reason       of its Close frame, or undef

use warnings;
use strict;

use Digest::SHA qw/ sha1_base64 /;
use Exporter qw/ import /;
use MIME::Base64 qw/ encode_base64 /;

use constant {
    CONTINUATION => 0,
    TEXT         => 1,
    BINARY       => 2,
    CLOSE        => 8,
    PING         => 9,
    PONG         => 10,
};

our @EXPORT_OK = qw/ CONTINUATION TEXT BINARY CLOSE PING PONG frame request
                     accept_key /;


sub frame {
    my ($payload, %args) = @_;

    my $fin = $args{fin} // 1;
    my $opcode = $args{opcode} // BINARY;
    my $mask = exists $args{mask} ? $args{mask}
                                  : join '', map { chr int rand 256 } 1 .. 4;

    my $n = $args{length} // length $payload;
    my $form = $args{form} // ($n < 126 ? 7 : $n < 65536 ? 16 : 64);

    my $bytes = chr(($fin ? 0x80 : 0) | ($args{rsv} // 0) << 4 | $opcode);
    my $bit = defined $mask ? 0x80 : 0;

    $bytes .= $form == 7  ? chr($bit | $n)
            : $form == 16 ? pack('Cn', $bit | 126, $n)
                          : pack('CQ>', $bit | 127, $n);

    return $bytes . $payload if !defined $mask;

    my $key = $mask x (length($payload) / 4 + 1);

    return $bytes . $mask . ("$payload" ^ substr $key, 0, length $payload);
}


sub request {
    my (%args) = @_;

    my %headers = (
        'Host'                   => $args{host} // 'localhost',
        'Upgrade'                => 'websocket',
        'Connection'             => 'Upgrade',
        'Sec-WebSocket-Key'      => $args{key} // key(),
        'Sec-WebSocket-Version'  => 13,
        'Sec-WebSocket-Protocol' => $args{protocol} // 'mqtt',
        'Origin'                 => $args{origin},
        %{ $args{headers} || {} },
    );

    my $request = join ' ', $args{method} // 'GET', $args{path} // '/mqtt',
                            $args{http} // 'HTTP/1.1';

    $request .= "\r\n";

    for my $name (sort keys %headers) {
        my $value = $headers{$name} // next;

        $request .= "$name: $_\r\n" for ref $value ? @$value : $value;
    }

    return "$request\r\n";
}


sub key {
    return encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
}


sub accept_key {
    my ($key) = @_;

    return sha1_base64($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11') . '=';
}


sub new {
    my ($class) = @_;

    return bless { in => '', frames => [], pongs => [] }, $class;
}


sub frames       { return @{ $_[0]{frames} } }
sub pongs        { return @{ $_[0]{pongs} } }
sub close_code   { return $_[0]{close_code} }
sub close_reason { return $_[0]{close_reason} }


sub feed {
    my ($self, $bytes) = @_;

    $self->{in} .= $bytes;

    my $data = '';

    while (my ($opcode, $payload) = $self->cut) {
        push @{ $self->{frames} }, [ $opcode, length $payload ];

        die "the server sent a frame behind its Close frame\n"
            if defined $self->{close_code};

        if ($opcode == BINARY) {
            $data .= $payload;

        } elsif ($opcode == PONG) {
            push @{ $self->{pongs} }, $payload;

        } elsif ($opcode == CLOSE) {
            ($self->{close_code}, $self->{close_reason})
                = unpack 'na*', $payload;

        } else {
            die "the server sent a frame with opcode $opcode\n";
        }
    }

    return $data;
}


# opcode and payload of one frame, or nothing

sub cut {
    my ($self) = @_;

    my ($first, $length) = unpack 'CC', $self->{in};
    my $head = 2;

    return if !defined $length;

    die sprintf "the server sent a frame that begins with %02x %02x\n",
                $first, $length
        if ($first & 0xf0) != 0x80 || $length & 0x80;

    if ($length >= 126) {
        my ($format, $bytes, $least) = $length == 126 ? ('n', 2, 126)
                                                      : ('Q>', 8, 65536);

        $head += $bytes;
        return if length $self->{in} < $head;

        $length = unpack $format, substr $self->{in}, 2, $bytes;
        die "the server sent a length that is too long\n" if $length < $least;
    }

    return if length $self->{in} < $head + $length;

    my $payload = substr $self->{in}, $head, $length;

    substr $self->{in}, 0, $head + $length, '';

    return ($first & 0xf, $payload);
}


1;
