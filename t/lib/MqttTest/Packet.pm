package MqttTest::Packet;

# Copyright (C) ngx_mqtt_module authors

# The only Perl that knows the wire: MQTT 3.1, 3.1.1 and 5.0.
#
#     $bytes = gen(PUBLISH => 5, topic => 'a/b', payload => 'x', qos => 1,
#                  packet_id => 7, props => [ [ content_type => 't' ] ]);
#
#     ($packet, $length) = parse(5, $bytes, $start);    # () while incomplete
#
# gen() checks nothing, so that tests can say nonsense; parse() dies on
# everything that a server must not send.
#
# Fields of gen(), besides "flags" (the low half of the first byte), "length"
# (a false remaining length) and "trail" (bytes appended to the body), which
# all packets take:
#
#     CONNECT      client_id clean keep_alive username password props
#                  will => { topic payload qos retain props }
#                  proto_name proto_level connect_flags
#     PUBLISH      topic payload qos retain dup packet_id props
#     PUBACK PUBREC PUBREL PUBCOMP
#                  packet_id reason props
#     SUBSCRIBE    packet_id filters => [ [ filter => options ], ... ] props
#     UNSUBSCRIBE  packet_id filters => [ filter, ... ] props
#     PINGREQ
#     DISCONNECT AUTH
#                  reason props
#
# Fields of parse(): type (the name), flags, raw (all bytes) and
#
#     CONNACK      session_present reason props
#     PUBLISH      topic payload qos retain dup packet_id props
#     PUBACK PUBREC PUBREL PUBCOMP
#                  packet_id reason props
#     SUBACK       packet_id codes props
#     UNSUBACK     packet_id codes props
#     DISCONNECT AUTH
#                  reason props
#
# Properties are a list of [ name => value ], [ user_property => name, value ],
# in the order of the wire; [ number => bytes ] writes an identifier and raw
# bytes, and a string in place of the list is written as the whole section,
# its length included.

use warnings;
use strict;

use Exporter qw/ import /;

our @EXPORT_OK = qw/ gen parse prop props gen_varint gen_string type_number /;


my @TYPES = qw/ RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP
                SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP
                DISCONNECT AUTH /;

my %TYPES = map { $TYPES[$_] => $_ } 0 .. $#TYPES;

my %PROPS = (
    payload_format        => [ 0x01, 'byte' ],
    message_expiry        => [ 0x02, 'u32' ],
    content_type          => [ 0x03, 'str' ],
    response_topic        => [ 0x08, 'str' ],
    correlation_data      => [ 0x09, 'str' ],
    subscription_id       => [ 0x0b, 'varint' ],
    session_expiry        => [ 0x11, 'u32' ],
    assigned_client_id    => [ 0x12, 'str' ],
    server_keep_alive     => [ 0x13, 'u16' ],
    auth_method           => [ 0x15, 'str' ],
    auth_data             => [ 0x16, 'str' ],
    request_problem_info  => [ 0x17, 'byte' ],
    will_delay            => [ 0x18, 'u32' ],
    request_response_info => [ 0x19, 'byte' ],
    response_info         => [ 0x1a, 'str' ],
    server_reference      => [ 0x1c, 'str' ],
    reason_string         => [ 0x1f, 'str' ],
    receive_maximum       => [ 0x21, 'u16' ],
    topic_alias_maximum   => [ 0x22, 'u16' ],
    topic_alias           => [ 0x23, 'u16' ],
    maximum_qos           => [ 0x24, 'byte' ],
    retain_available      => [ 0x25, 'byte' ],
    user_property         => [ 0x26, 'pair' ],
    maximum_packet_size   => [ 0x27, 'u32' ],
    wildcard_available    => [ 0x28, 'byte' ],
    sub_id_available      => [ 0x29, 'byte' ],
    shared_available      => [ 0x2a, 'byte' ],
);

my %PROP_BY_ID = map { $PROPS{$_}[0] => [ $_, $PROPS{$_}[1] ] } keys %PROPS;

my %GEN = (
    CONNECT     => \&gen_connect,
    PUBLISH     => \&gen_publish,
    PUBACK      => \&gen_ack,
    PUBREC      => \&gen_ack,
    PUBREL      => \&gen_ack,
    PUBCOMP     => \&gen_ack,
    SUBSCRIBE   => \&gen_subscribe,
    UNSUBSCRIBE => \&gen_unsubscribe,
    PINGREQ     => sub { '' },
    DISCONNECT  => \&gen_reason,
    AUTH        => \&gen_reason,
);

my %PARSE = (
    CONNACK     => \&parse_connack,
    PUBLISH     => \&parse_publish,
    PUBACK      => \&parse_ack,
    PUBREC      => \&parse_ack,
    PUBREL      => \&parse_ack,
    PUBCOMP     => \&parse_ack,
    SUBACK      => \&parse_suback,
    UNSUBACK    => \&parse_unsuback,
    PINGRESP    => sub { $_[1] },
    DISCONNECT  => \&parse_reason,
    AUTH        => \&parse_reason,
);


sub type_number {
    my ($name) = @_;

    return $TYPES{$name} // die "no packet type \"$name\"\n";
}


# values of a property: all of them, or the first one

sub props {
    my ($packet, $name) = @_;

    return map { @$_ > 2 ? [ @$_[1 .. $#$_] ] : $_->[1] }
           grep { $_->[0] eq $name } @{ $packet->{props} || [] };
}


sub prop {
    my ($value) = props(@_);

    return $value;
}


###############################################################################
# generation


sub gen {
    my ($name, $version, %f) = @_;

    my $type = type_number($name);
    my $handler = $GEN{$name} // die "a client never sends $name\n";
    my $body = $handler->($version, \%f) . ($f{trail} // '');

    my $flags = $f{flags};

    if (!defined $flags) {
        $flags = $name eq 'PUBLISH'
                 ? ($f{dup} ? 8 : 0) | ($f{qos} // 0) << 1
                   | ($f{retain} ? 1 : 0)
                 : $name =~ /^(?:PUBREL|SUBSCRIBE|UNSUBSCRIBE)$/ ? 2 : 0;
    }

    return pack('C', $type << 4 | $flags)
           . gen_varint($f{length} // length $body) . $body;
}


sub gen_varint {
    my ($value) = @_;

    my $out = '';

    do {
        my $byte = $value & 0x7f;
        $value >>= 7;
        $out .= chr($value ? $byte | 0x80 : $byte);
    } while ($value);

    return $out;
}


sub gen_string {
    my ($value) = @_;

    return pack('n/a*', $value);
}


sub gen_props {
    my ($version, $list) = @_;

    return '' if $version < 5;

    return $list if defined $list && !ref $list;

    my $out = '';

    for my $p (@{ $list || [] }) {
        my ($name, @value) = @$p;

        if ($name =~ /^\d+$/) {
            $out .= gen_varint($name) . $value[0];
            next;
        }

        my ($id, $type) = @{ $PROPS{$name} || die "no property \"$name\"\n" };

        $out .= chr($id)
             . ($type eq 'byte'   ? chr($value[0])
              : $type eq 'u16'    ? pack('n', $value[0])
              : $type eq 'u32'    ? pack('N', $value[0])
              : $type eq 'varint' ? gen_varint($value[0])
              : join '', map { gen_string($_) } @value);
    }

    return gen_varint(length $out) . $out;
}


sub gen_connect {
    my ($version, $f) = @_;

    my $will = $f->{will};
    my $flags = $f->{connect_flags};

    if (!defined $flags) {
        $flags = ($f->{clean} // 1) ? 2 : 0;
        $flags |= 0x80 if defined $f->{username};
        $flags |= 0x40 if defined $f->{password};
        $flags |= 4 | ($will->{qos} // 0) << 3 | ($will->{retain} ? 0x20 : 0)
            if $will;
    }

    my $body = gen_string($f->{proto_name}
                          // ($version == 3 ? 'MQIsdp' : 'MQTT'))
               . pack('CCn', $f->{proto_level} // $version, $flags,
                      $f->{keep_alive} // 60)
               . gen_props($version, $f->{props})
               . gen_string($f->{client_id} // '');

    if ($will) {
        $body .= gen_props($version, $will->{props})
                 . gen_string($will->{topic})
                 . gen_string($will->{payload} // '');
    }

    $body .= gen_string($f->{username}) if defined $f->{username};
    $body .= gen_string($f->{password}) if defined $f->{password};

    return $body;
}


sub gen_publish {
    my ($version, $f) = @_;

    return gen_string($f->{topic} // '')
           . (($f->{qos} || defined $f->{packet_id})
              ? pack('n', $f->{packet_id} // 0) : '')
           . gen_props($version, $f->{props})
           . ($f->{payload} // '');
}


sub gen_ack {
    my ($version, $f) = @_;

    my $body = pack('n', $f->{packet_id} // 0);

    if ($version == 5 && ($f->{reason} || defined $f->{props})) {
        $body .= chr($f->{reason} // 0);
        $body .= gen_props($version, $f->{props}) if defined $f->{props};
    }

    return $body;
}


sub gen_subscribe {
    my ($version, $f) = @_;

    return pack('n', $f->{packet_id} // 0) . gen_props($version, $f->{props})
           . join('', map { gen_string($_->[0]) . chr($_->[1]) }
                          @{ $f->{filters} || [] });
}


sub gen_unsubscribe {
    my ($version, $f) = @_;

    return pack('n', $f->{packet_id} // 0) . gen_props($version, $f->{props})
           . join('', map { gen_string($_) } @{ $f->{filters} || [] });
}


sub gen_reason {
    my ($version, $f) = @_;

    return '' if $version < 5 || !($f->{reason} || defined $f->{props});

    return chr($f->{reason} // 0)
           . (defined $f->{props} ? gen_props($version, $f->{props}) : '');
}


###############################################################################
# parsing: a cursor is a reference to what is left of the body


sub parse {
    my ($version, undef, $start) = @_;

    my $buf = \$_[1];
    my $left = length($$buf) - ($start //= 0);
    my ($length, $header) = (0, 1);

    return if $left < 2;

    for (my $shift = 0; ; $shift += 7) {
        die "remaining length of more than 4 bytes\n" if $shift > 21;
        return if $left <= $header;

        my $byte = ord substr $$buf, $start + $header++, 1;
        $length |= ($byte & 0x7f) << $shift;

        last if !($byte & 0x80);
    }

    return if $left < $header + $length;

    my $first = ord substr $$buf, $start, 1;
    my $name = $TYPES[$first >> 4];
    my $handler = $PARSE{$name} // die "a server never sends $name\n";

    my $packet = {
        type  => $name,
        flags => $first & 0xf,
        raw   => substr($$buf, $start, $header + $length),
    };

    die "$name with flags $packet->{flags}\n"
        if $name ne 'PUBLISH'
           && $packet->{flags} != ($name eq 'PUBREL' ? 2 : 0);

    my $body = substr $$buf, $start + $header, $length;

    $handler->($version, $packet, \$body);

    die "$name with trailing bytes: " . unpack('H*', $packet->{raw}) . "\n"
        if length $body;

    return ($packet, $header + $length);
}


sub take {
    my ($cursor, $n) = @_;

    die "packet is too short\n" if length $$cursor < $n;

    return substr $$cursor, 0, $n, '';
}


sub take_u8  { return unpack 'C', take($_[0], 1) }
sub take_u16 { return unpack 'n', take($_[0], 2) }
sub take_u32 { return unpack 'N', take($_[0], 4) }
sub take_str { return take($_[0], take_u16($_[0])) }


sub take_varint {
    my ($cursor) = @_;

    my $value = 0;

    for (my $shift = 0; $shift < 28; $shift += 7) {
        my $byte = take_u8($cursor);
        $value |= ($byte & 0x7f) << $shift;

        if (!($byte & 0x80)) {
            die "over-long variable byte integer\n" if $shift && !$byte;
            return $value;
        }
    }

    die "variable byte integer of more than 4 bytes\n";
}


sub take_props {
    my ($version, $cursor) = @_;

    return [] if $version < 5;

    my $section = take($cursor, take_varint($cursor));
    my (@list, %seen);

    while (length $section) {
        my $id = take_varint(\$section);
        my $known = $PROP_BY_ID{$id} || die "unknown property $id\n";
        my ($name, $type) = @$known;

        die "property $name twice\n"
            if $seen{$name}++
               && $name ne 'user_property' && $name ne 'subscription_id';

        push @list, [ $name,
              $type eq 'byte'   ? take_u8(\$section)
            : $type eq 'u16'    ? take_u16(\$section)
            : $type eq 'u32'    ? take_u32(\$section)
            : $type eq 'varint' ? take_varint(\$section)
            : $type eq 'pair'   ? (take_str(\$section), take_str(\$section))
            : take_str(\$section) ];
    }

    return \@list;
}


sub parse_connack {
    my ($version, $packet, $cursor) = @_;

    my $flags = take_u8($cursor);
    die "CONNACK with acknowledge flags $flags\n" if $flags > 1;

    $packet->{session_present} = $flags;
    $packet->{reason} = take_u8($cursor);
    die "CONNACK that refuses with session present\n"
        if $flags && $packet->{reason};
    $packet->{props} = take_props($version, $cursor);
}


sub parse_publish {
    my ($version, $packet, $cursor) = @_;

    my $flags = $packet->{flags};

    $packet->{dup} = $flags >> 3;
    $packet->{qos} = $flags >> 1 & 3;
    $packet->{retain} = $flags & 1;

    die "PUBLISH with QoS 3\n" if $packet->{qos} == 3;
    die "PUBLISH with QoS 0 and DUP\n" if $packet->{dup} && !$packet->{qos};

    $packet->{topic} = take_str($cursor);

    if ($packet->{qos}) {
        $packet->{packet_id} = take_u16($cursor);
        die "PUBLISH with packet id 0\n" if !$packet->{packet_id};
    }

    $packet->{props} = take_props($version, $cursor);
    $packet->{payload} = take($cursor, length $$cursor);
}


sub parse_ack {
    my ($version, $packet, $cursor) = @_;

    $packet->{packet_id} = take_u16($cursor);
    $packet->{reason} = 0;
    $packet->{props} = [];

    return if $version < 5 || !length $$cursor;

    $packet->{reason} = take_u8($cursor);
    $packet->{props} = take_props($version, $cursor) if length $$cursor;
}


sub parse_suback {
    my ($version, $packet, $cursor) = @_;

    $packet->{packet_id} = take_u16($cursor);
    $packet->{props} = take_props($version, $cursor);
    $packet->{codes} = [ unpack 'C*', take($cursor, length $$cursor) ];
}


sub parse_unsuback {
    my ($version, $packet, $cursor) = @_;

    $packet->{packet_id} = take_u16($cursor);
    $packet->{props} = take_props($version, $cursor);
    $packet->{codes} = $version < 5
                       ? [] : [ unpack 'C*', take($cursor, length $$cursor) ];
}


sub parse_reason {
    my ($version, $packet, $cursor) = @_;

    die "a server sends no $packet->{type} before 5.0\n" if $version < 5;

    $packet->{reason} = 0;
    $packet->{props} = [];

    return if !length $$cursor;

    $packet->{reason} = take_u8($cursor);
    $packet->{props} = take_props($version, $cursor) if length $$cursor;
}


1;
